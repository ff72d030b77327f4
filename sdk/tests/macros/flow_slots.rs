use headgate_sdk::prelude::*;

mod shop {
    use headgate_sdk::prelude::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub struct Order {
        pub number: String,
    }

    pub struct Shop;

    #[headgate_sdk::connector]
    impl Shop {
        fn manifest() -> Manifest {
            Manifest::new("shop", "Shop")
        }

        #[method]
        fn get_order(input: Order) -> Result<Order> {
            Ok(input)
        }
    }
}

#[headgate_sdk::flow(slots(shop: shop::Client(get_oder)))]
fn method_that_is_not_there(_event: Event) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow(slots(shop: shop::Shop(get_order)))]
fn connector_instead_of_client(_event: Event) -> Result<Response> {
    loop {}
}

fn main() {}
