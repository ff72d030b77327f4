use headgate_sdk::prelude::*;

#[headgate_sdk::flow(slots(the_shop: "shop"))]
fn name_with_a_wrong_sign(_event: Event) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow(slots(shop: "shop", shop: "other"))]
fn slot_twice(_event: Event) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow(schema, schema)]
fn schema_twice(_event: Event) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow(slots(shop: 7))]
fn no_connector(_event: Event) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow(slots)]
fn no_list(_event: Event) -> Result<Response> {
    loop {}
}

fn main() {}
