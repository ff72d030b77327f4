//! OAuth 2.0 (RFC 6749), with the ways in which apps differ from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Placement;

/// How an app does OAuth. URLs and parameters may hold `${config.NAME}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Oauth {
    /// How a token is got.
    #[serde(default)]
    pub grant: OauthGrant,
    /// Where people consent; needed for the grant `authorization_code`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_url: Option<String>,
    /// Where a code, or the client's own credentials, becomes a token.
    pub token_url: String,
    /// Where tokens are refreshed, when it is not the token URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_url: Option<String>,
    /// Where tokens are revoked (RFC 7009).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_url: Option<String>,
    /// Where tokens are looked at (RFC 7662).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_url: Option<String>,
    /// What a connection may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<ScopeField>,
    /// What stands between scopes; a space by the standard.
    #[serde(default = "space", skip_serializing_if = "is_space")]
    pub scope_separator: String,
    /// The name of the parameter that holds the scopes; `scope` by the standard.
    #[serde(default = "scope", skip_serializing_if = "is_scope")]
    pub scope_parameter: String,
    /// Whether PKCE with S256 (RFC 7636) is used. Only for apps that break on it: no.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub pkce: bool,
    /// How the client says who it is at the token endpoint.
    #[serde(default)]
    pub client_authentication: ClientAuthentication,
    /// How the body of a token request is written.
    #[serde(default)]
    pub token_body: TokenBody,
    /// Further parameters of the authorization URL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorization_params: BTreeMap<String, String>,
    /// Further parameters of the token request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_params: BTreeMap<String, String>,
    /// Further parameters of the refresh request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refresh_params: BTreeMap<String, String>,
    /// Further headers of token and refresh requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_headers: BTreeMap<String, String>,
    /// Where the token answer says what.
    #[serde(default)]
    pub token_fields: TokenFields,
    /// What becomes settings of the connection when it is authorized.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<Metadata>,
    /// Where the host puts `${secret.access_token}` on each request; a bearer token by the standard.
    #[serde(default = "bearer")]
    pub placements: Vec<Placement>,
}

/// How a token is got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OauthGrant {
    /// A person consents at the app, which redirects back with a code.
    #[default]
    AuthorizationCode,
    /// The client acts for itself; nobody consents.
    ClientCredentials,
}

/// A scope that a connection may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ScopeField {
    /// As the app writes it.
    pub name: String,
    /// What it allows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether it is always asked for.
    #[serde(default)]
    pub required: bool,
    /// Whether it is asked for when nobody chose scopes.
    #[serde(default)]
    pub default: bool,
}

/// How the client says who it is at the token endpoint (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthentication {
    /// `Authorization: Basic`, id and secret form-encoded.
    #[default]
    Basic,
    /// `client_id` and `client_secret` in the body.
    Body,
    /// `client_id` in the body, no secret.
    None,
}

/// How the body of a token request is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenBody {
    /// `application/x-www-form-urlencoded`, the standard.
    #[default]
    Form,
    /// `application/json`.
    Json,
}

/// Where the token answer says what, as JSON pointers (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenFields {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// How long the access token is valid.
    pub expires_in: String,
    /// In which unit.
    pub expires_unit: ExpiresUnit,
    /// Which scopes were granted.
    pub scope: String,
}

/// The unit of `expires_in`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpiresUnit {
    /// Seconds, the standard.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
}

/// Something the app tells at the authorization that becomes a setting of the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The config field that it sets. Where it is part of a URL, the field needs a pattern or an enum.
    pub config: String,
    /// Where it is told.
    pub source: MetadataSource,
    /// For `token` a JSON pointer into the token answer, for `redirect` the name of a query parameter.
    pub field: String,
}

/// Where an app tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataSource {
    /// In the token answer.
    Token,
    /// In the query of the redirect that brings the code.
    Redirect,
}

impl Default for TokenFields {
    fn default() -> Self {
        Self {
            access_token: "/access_token".into(),
            refresh_token: "/refresh_token".into(),
            expires_in: "/expires_in".into(),
            expires_unit: ExpiresUnit::Seconds,
            scope: "/scope".into(),
        }
    }
}

impl Oauth {
    /// Authorization code with PKCE: a person consents at the first URL, the code is exchanged at the second.
    ///
    /// ```
    /// # use headgate_manifest::{Oauth, ScopeField};
    /// let oauth = Oauth::code("https://acme.example/authorize", "https://acme.example/token")
    ///     .scope(ScopeField::new("contacts.read", "Read contacts").required())
    ///     .authorization_param("access_type", "offline");
    /// assert!(oauth.pkce);
    /// ```
    pub fn code(authorization_url: impl Into<String>, token_url: impl Into<String>) -> Self {
        let plain = Self::client_credentials(token_url);
        Self {
            grant: OauthGrant::AuthorizationCode,
            authorization_url: Some(authorization_url.into()),
            pkce: true,
            ..plain
        }
    }

    /// The client's own credentials become a token at this URL; nobody consents.
    pub fn client_credentials(token_url: impl Into<String>) -> Self {
        Self {
            grant: OauthGrant::ClientCredentials,
            authorization_url: None,
            token_url: token_url.into(),
            refresh_url: None,
            revocation_url: None,
            introspection_url: None,
            scopes: Vec::new(),
            scope_separator: space(),
            scope_parameter: scope(),
            pkce: false,
            client_authentication: ClientAuthentication::default(),
            token_body: TokenBody::default(),
            authorization_params: BTreeMap::new(),
            token_params: BTreeMap::new(),
            refresh_params: BTreeMap::new(),
            token_headers: BTreeMap::new(),
            token_fields: TokenFields::default(),
            metadata: Vec::new(),
            placements: bearer(),
        }
    }

    /// Adds a scope that may be asked for.
    #[must_use]
    pub fn scope(mut self, scope: ScopeField) -> Self {
        self.scopes.push(scope);
        self
    }

    /// Sets what stands between scopes.
    #[must_use]
    pub fn scope_separator(mut self, separator: impl Into<String>) -> Self {
        self.scope_separator = separator.into();
        self
    }

    /// Sets the name of the parameter that holds the scopes.
    #[must_use]
    pub fn scope_parameter(mut self, name: impl Into<String>) -> Self {
        self.scope_parameter = name.into();
        self
    }

    /// Leaves PKCE out, for apps that break on it.
    #[must_use]
    pub fn without_pkce(mut self) -> Self {
        self.pkce = false;
        self
    }

    /// Sets how the client says who it is.
    #[must_use]
    pub fn client_authentication(mut self, how: ClientAuthentication) -> Self {
        self.client_authentication = how;
        self
    }

    /// Token requests are JSON.
    #[must_use]
    pub fn json_body(mut self) -> Self {
        self.token_body = TokenBody::Json;
        self
    }

    /// Tokens are refreshed at another URL.
    #[must_use]
    pub fn refresh_url(mut self, url: impl Into<String>) -> Self {
        self.refresh_url = Some(url.into());
        self
    }

    /// Tokens are revoked there.
    #[must_use]
    pub fn revocation_url(mut self, url: impl Into<String>) -> Self {
        self.revocation_url = Some(url.into());
        self
    }

    /// Tokens are looked at there.
    #[must_use]
    pub fn introspection_url(mut self, url: impl Into<String>) -> Self {
        self.introspection_url = Some(url.into());
        self
    }

    /// Adds a parameter to the authorization URL.
    #[must_use]
    pub fn authorization_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.authorization_params.insert(name.into(), value.into());
        self
    }

    /// Adds a parameter to the token request.
    #[must_use]
    pub fn token_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.token_params.insert(name.into(), value.into());
        self
    }

    /// Adds a parameter to the refresh request.
    #[must_use]
    pub fn refresh_param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.refresh_params.insert(name.into(), value.into());
        self
    }

    /// Adds a header to token and refresh requests.
    #[must_use]
    pub fn token_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.token_headers.insert(name.into(), value.into());
        self
    }

    /// Says where the token answer says what.
    #[must_use]
    pub fn token_fields(mut self, fields: TokenFields) -> Self {
        self.token_fields = fields;
        self
    }

    /// A setting is taken from the token answer, at a JSON pointer.
    #[must_use]
    pub fn metadata_from_token(mut self, config: impl Into<String>, pointer: impl Into<String>) -> Self {
        let (config, field) = (config.into(), pointer.into());
        self.metadata.push(Metadata { config, source: MetadataSource::Token, field });
        self
    }

    /// A setting is taken from a query parameter of the redirect that brings the code.
    #[must_use]
    pub fn metadata_from_redirect(mut self, config: impl Into<String>, parameter: impl Into<String>) -> Self {
        let (config, field) = (config.into(), parameter.into());
        self.metadata.push(Metadata { config, source: MetadataSource::Redirect, field });
        self
    }

    /// Sets where the host puts `${secret.access_token}`.
    #[must_use]
    pub fn placements(mut self, placements: Vec<Placement>) -> Self {
        self.placements = placements;
        self
    }
}

impl ScopeField {
    /// A scope that is asked for when nobody chose scopes.
    pub fn new(name: impl Into<String>, description: impl Into<String>) -> Self {
        Self { name: name.into(), description: description.into(), required: false, default: true }
    }

    /// It is always asked for.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It is asked for only when somebody chose it.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.default = false;
        self
    }
}

fn space() -> String {
    " ".to_owned()
}

fn is_space(text: &str) -> bool {
    text == " "
}

fn scope() -> String {
    "scope".to_owned()
}

fn is_scope(text: &str) -> bool {
    text == "scope"
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_yes(value: &bool) -> bool {
    *value
}

fn bearer() -> Vec<Placement> {
    vec![Placement::Bearer { value: "${secret.access_token}".to_owned() }]
}
