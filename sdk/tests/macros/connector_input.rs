#![allow(unexpected_cfgs, reason = "this crate cannot have the feature `component`")]

use headgate_sdk::prelude::*;

struct Crm;

#[derive(Serialize, JsonSchema)]
struct GetContact {
    id: String,
}

#[headgate_sdk::connector]
impl Crm {
    fn manifest() -> Manifest {
        Manifest::new("crm", "CRM")
    }

    #[method]
    fn get_contact(input: GetContact) -> Result<String> {
        Ok(input.id)
    }
}

fn main() {}
