use headgate_sdk::prelude::*;

struct Deal {
    id: String,
}

#[headgate_sdk::flow]
fn unreadable_event(event: Event<Deal>) -> Result<Response> {
    Ok(Response::new(200).text(event.data.id))
}

fn main() {}
