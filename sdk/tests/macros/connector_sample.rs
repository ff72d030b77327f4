#![allow(unexpected_cfgs, reason = "this crate cannot have the feature `component`")]

use headgate_sdk::prelude::*;

struct Crm;

#[headgate_sdk::connector]
impl Crm {
    fn manifest() -> Manifest {
        Manifest::new("crm", "CRM")
    }

    #[method(sample = || 7_u8)]
    fn get_contact(input: String) -> Result<String> {
        Ok(input)
    }
}

fn main() {}
