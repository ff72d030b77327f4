//! The connector `{{name}}`.

use headgate_sdk::prelude::*;

/// The connector.
#[derive(Debug)]
pub struct {{Type}};

/// Which item to get.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct GetItem {
    /// The item's id.
    pub id: String,
}

/// An item.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
}

#[headgate_sdk::connector]
impl {{Type}} {
    fn manifest() -> Manifest {
        Manifest::new("{{name}}", "{{Type}}")
            .description("Items of {{Type}}.")
            .config(
                ConfigField::new("api_url", "API address").default_value("https://api.example.com"),
            )
            .base_url("${config.api_url}")
            .auth(Auth::bearer(
                "token",
                "API token",
                SecretField::new("token", "Token"),
            ))
            .verification("GET", "/me")
    }

    /// Gets one item.
    #[method(idempotent)]
    fn get_item(input: GetItem) -> Result<Item> {
        let api = config("api_url").unwrap_or_default();
        // The host puts the token on the request; this code never sees it.
        let answer = http::get(format!("{api}/items/{}", http::encode(&input.id))).send()?;
        if answer.status == 404 {
            return Err(Error::new(
                "not_found",
                format!("There is no item {}.", input.id),
            ));
        }
        answer.error_for_status()?.json()
    }
}

#[cfg(test)]
mod tests {
    use headgate_sdk::testing::{Host, invoke};
    use serde_json::json;

    use super::*;

    #[test]
    fn gets_an_item() {
        let host = Host::of::<{{Type}}>();
        host.http("GET", "https://api.example.com/items/7")
            .answer(200, &json!({"id": "7", "title": "Seven"}));
        let item = invoke::<{{Type}}>("get_item", &json!({"id": "7"})).unwrap();
        assert_eq!(item, json!({"id": "7", "title": "Seven"}));
    }

    #[test]
    fn an_unknown_item_is_not_found() {
        let host = Host::of::<{{Type}}>();
        host.http("GET", "/items/8").answer(404, &json!({}));
        assert_eq!(
            {{Type}}::get_item(GetItem { id: "8".into() })
                .unwrap_err()
                .code,
            "not_found"
        );
    }
}
