use headgate_sdk::prelude::*;

struct Crm;

#[headgate_sdk::connector]
impl Crm {
    fn manifest() -> Manifest {
        Manifest::new("crm", "CRM")
    }

    #[trigger]
    fn no_cursor(_input: String) -> Result<Polled<String, u64>> {
        loop {}
    }

    #[trigger(idempotent)]
    fn unknown_option(_input: String, _cursor: Option<u64>) -> Result<Polled<String, u64>> {
        loop {}
    }

    #[trigger]
    fn no_result(_input: String, _cursor: Option<u64>) {}
}

fn main() {}
