use headgate_sdk::prelude::*;

#[headgate_sdk::flow]
fn two_arguments(_event: Event, _connection: Connection) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow]
fn no_argument() -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow]
fn no_answer(_event: Event) {
    loop {}
}

#[headgate_sdk::flow]
async fn not_waiting(_event: Event) -> Result<Response> {
    loop {}
}

#[headgate_sdk::flow(name = "x")]
fn with_options(_event: Event) -> Result<Response> {
    loop {}
}

fn main() {}
