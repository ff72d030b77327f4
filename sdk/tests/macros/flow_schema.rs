use headgate_sdk::prelude::*;

#[derive(Deserialize)]
struct Deal {
    id: String,
}

#[headgate_sdk::flow(schema)]
fn no_schema(event: Event<Deal>) -> Result<Response> {
    Ok(Response::new(200).text(event.data.id))
}

fn main() {}
