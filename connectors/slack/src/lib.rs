//! Slack: messages, users and channels of one workspace, by the public Web API.
//!
//! A flow uses the typed [`Client`]:
//!
//! ```no_run
//! use headgate_sdk::prelude::*;
//! use slack::{LookupUser, PostMessage};
//!
//! # fn example() -> Result<()> {
//! let chat = slack::Client::open("chat")?;
//! let ada = chat.lookup_user(LookupUser::by_email("ada@example.com"))?;
//! chat.post_message(PostMessage::new(&ada.id, "Your lead was answered."))?;
//! # Ok(())
//! # }
//! ```

mod answer;
mod samples;
mod types;

#[cfg(test)]
mod tests;

use headgate_sdk::prelude::*;

pub use types::{Channel, ChannelKind, Channels, ListChannels, LookupUser, PostMessage, Posted, Profile, Text, User};

/// The connector.
#[derive(Debug)]
pub struct Slack;

#[headgate_sdk::connector]
impl Slack {
    fn manifest() -> Manifest {
        let stand_in = "Change it only to reach a stand-in for tests.";
        let address = |name: &str, title: &str, url: &str| {
            ConfigField::new(name, title).description(stand_in).default_value(url).advanced()
        };
        let token = SecretField::new("token", "Bot token").description(
            "api.slack.com/apps > your app > OAuth & Permissions > Bot User OAuth Token. It starts with xoxb-.",
        );
        Manifest::new("slack", "Slack")
            .description("A Slack workspace: post messages, look users up, list channels.")
            .config(address("api_url", "API address", "https://slack.com/api"))
            .config(address("oauth_url", "Address of consent and tokens", "https://slack.com"))
            .base_url("${config.api_url}")
            .auth(Auth::oauth("oauth", "Slack", oauth()))
            .auth(Auth::oauth_advanced("oauth_advanced", "Slack, with your own app", oauth()))
            .auth(Auth::bearer("bot_token", "Bot token", token))
            .verified_by(Verification::new("POST", "/auth.test").ok("/ok").account("/team"))
    }

    /// Posts a message to a channel, or to a user by the user's id. The app has to be a member of the channel, unless it
    /// has the scope `chat:write.public`.
    #[method(scopes("chat:write"), sample = samples::posted)]
    fn post_message(input: PostMessage) -> Result<Posted> {
        if input.text.is_empty() && input.blocks.is_empty() && input.attachments.is_empty() {
            return Err(Error::new("invalid_input", "The message is empty: give it a text, blocks or attachments."));
        }
        // Slack warns when the character set is not said.
        let request = http::post(url("chat.postMessage")?).header("content-type", "application/json; charset=utf-8");
        answer::read(request.json(&input).send()?)
    }

    /// Looks a user up by the e-mail address.
    #[method(idempotent, scopes("users:read.email"), sample = samples::user)]
    fn lookup_user(input: LookupUser) -> Result<User> {
        let answer = http::get(url("users.lookupByEmail")?).query("email", &input.email).send()?;
        Ok(answer::read::<types::FoundUser>(answer)?.user)
    }

    /// Lists channels, page by page. A page may hold fewer than asked for while there are more.
    #[method(idempotent, scopes("channels:read", "groups:read"), sample = samples::channels)]
    fn list_channels(input: ListChannels) -> Result<Channels> {
        let mut request = http::get(url("conversations.list")?)
            .query("types", input.types())
            .query("exclude_archived", !input.archived);
        if let Some(limit) = input.limit {
            request = request.query("limit", limit);
        }
        if let Some(cursor) = &input.cursor {
            request = request.query("cursor", cursor);
        }
        Ok(answer::read::<types::ChannelPage>(request.send()?)?.into())
    }
}

fn oauth() -> Oauth {
    Oauth::code("${config.oauth_url}/oauth/v2/authorize", "${config.oauth_url}/api/oauth.v2.access")
        .scope_separator(",")
        // PKCE at Slack is for apps that opted into it, for good.
        .without_pkce()
        .scope(ScopeField::new("chat:write", "Post messages in channels the app is in"))
        .scope(ScopeField::new("users:read", "See users; users:read.email asks for it"))
        .scope(ScopeField::new("users:read.email", "Look users up by their e-mail addresses"))
        .scope(ScopeField::new("channels:read", "List public channels"))
        .scope(ScopeField::new("groups:read", "List private channels the app is in").optional())
        .scope(ScopeField::new("chat:write.public", "Post in public channels the app is not in").optional())
        .scope(ScopeField::new("chat:write.customize", "Post under another name and icon").optional())
}

/// The URL of a method of the Web API.
fn url(method: &str) -> Result<String> {
    let api = config("api_url")
        .ok_or_else(|| Error::new("invalid_config", "The connection's setting api_url is missing."))?;
    Ok(format!("{}/{method}", api.trim_end_matches('/')))
}
