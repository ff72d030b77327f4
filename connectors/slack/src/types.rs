//! What the methods take and answer. JSON names are Slack's own.

use headgate_sdk::prelude::*;
use serde_json::Value;

/// A message to be posted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostMessage {
    /// A channel's id (`C0123456789`) or name (`#leads`), or a user's id (`U0123456789`) for a direct message.
    pub channel: String,
    /// The text, in Slack's mrkdwn; with `blocks` it is what notifications show.
    #[serde(default)]
    pub text: String,
    /// Blocks of Slack's Block Kit; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Value>,
    /// Attachments of the older kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Value>,
    /// The `ts` of the message whose thread this one belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread_ts: Option<String>,
    /// Whether an answer in a thread is shown in the channel, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_broadcast: Option<bool>,
    /// Whether links to pages are shown with a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfurl_links: Option<bool>,
    /// Whether links to pictures and films are shown with a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfurl_media: Option<bool>,
    /// Another name to post under; asks for the scope `chat:write.customize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Another icon to post under, such as `:robot_face:`; asks for the scope `chat:write.customize`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icon_emoji: Option<String>,
}

impl PostMessage {
    /// A text for a channel or a user.
    pub fn new(channel: impl Into<String>, text: impl Into<String>) -> Self {
        Self { channel: channel.into(), text: text.into(), ..Self::default() }
    }

    /// Answers in the thread of the message with this `ts`.
    #[must_use]
    pub fn in_thread(mut self, ts: impl Into<String>) -> Self {
        self.thread_ts = Some(ts.into());
        self
    }
}

/// A message that was posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Posted {
    /// The channel's id; that of the direct message where it went to a user.
    pub channel: String,
    /// The message's time, which names it in its channel.
    pub ts: String,
}

/// Whom to look up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupUser {
    /// The e-mail address.
    pub email: String,
}

impl LookupUser {
    /// The user with this e-mail address.
    pub fn by_email(email: impl Into<String>) -> Self {
        Self { email: email.into() }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct FoundUser {
    pub(crate) user: User,
}

/// A user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    /// The id, such as `U0123456789`.
    pub id: String,
    /// The short name.
    #[serde(default)]
    pub name: String,
    /// The workspace's id.
    #[serde(default)]
    pub team_id: Option<String>,
    /// The whole name.
    #[serde(default)]
    pub real_name: Option<String>,
    /// The time zone, such as `Europe/Amsterdam`.
    #[serde(default)]
    pub tz: Option<String>,
    /// Whether the account was deactivated.
    #[serde(default)]
    pub deleted: bool,
    /// Whether it is an app.
    #[serde(default)]
    pub is_bot: bool,
    /// What people say about themselves.
    #[serde(default)]
    pub profile: Profile,
}

/// What people say about themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// The e-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// The name as it is shown.
    #[serde(default)]
    pub display_name: Option<String>,
    /// What they do.
    #[serde(default)]
    pub title: Option<String>,
}

/// Which channels to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListChannels {
    /// Of which kinds; public channels when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<ChannelKind>,
    /// Whether archived channels are listed, too.
    #[serde(default)]
    pub archived: bool,
    /// How many at most, up to 999; Slack recommends 200 and gives 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// The page: `next_cursor` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl ListChannels {
    pub(crate) fn types(&self) -> String {
        let kinds = if self.kinds.is_empty() { &[ChannelKind::Public][..] } else { &self.kinds };
        let names = kinds.iter().map(|kind| match kind {
            ChannelKind::Public => "public_channel",
            ChannelKind::Private => "private_channel",
        });
        names.collect::<Vec<_>>().join(",")
    }
}

/// A kind of channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Open to the workspace; asks for the scope `channels:read`.
    Public,
    /// Open to its members; asks for the scope `groups:read`.
    Private,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChannelPage {
    channels: Vec<Channel>,
    #[serde(default)]
    response_metadata: Cursor,
}

#[derive(Debug, Default, Deserialize)]
struct Cursor {
    #[serde(default)]
    next_cursor: String,
}

impl From<ChannelPage> for Channels {
    fn from(page: ChannelPage) -> Self {
        // Slack ends the pages with an empty cursor.
        let next_cursor = Some(page.response_metadata.next_cursor).filter(|cursor| !cursor.is_empty());
        Self { channels: page.channels, next_cursor }
    }
}

/// A page of channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channels {
    /// The channels of this page.
    pub channels: Vec<Channel>,
    /// Where to go on; left out on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Channel {
    /// Its id, such as `C0123456789`.
    pub id: String,
    /// Its name, without `#`.
    #[serde(default)]
    pub name: String,
    /// Whether it is private.
    #[serde(default)]
    pub is_private: bool,
    /// Whether it is archived.
    #[serde(default)]
    pub is_archived: bool,
    /// Whether the app is a member.
    #[serde(default)]
    pub is_member: bool,
    /// How many members it has.
    #[serde(default)]
    pub num_members: Option<u64>,
    /// What is talked about at the moment.
    #[serde(default)]
    pub topic: Text,
    /// What it is for.
    #[serde(default)]
    pub purpose: Text,
}

/// A text of a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Text {
    /// The text itself.
    #[serde(default)]
    pub value: String,
}
