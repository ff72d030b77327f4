use headgate_sdk::prelude::*;

#[headgate_sdk::flow]
fn no_result(event: Event) -> Response {
    Response::new(200).body(event.body)
}

fn main() {}
