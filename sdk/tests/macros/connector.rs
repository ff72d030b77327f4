use headgate_sdk::prelude::*;

struct Crm;

#[headgate_sdk::connector]
impl Crm {
    #[method]
    fn no_input() -> Result<String> {
        loop {}
    }

    #[method(idempotnet)]
    fn unknown_option(_input: String) -> Result<String> {
        loop {}
    }

    #[method]
    fn no_result(_input: String) -> String {
        loop {}
    }

    #[method]
    fn with_self(&self, _input: String) -> Result<String> {
        loop {}
    }
}

fn main() {}
