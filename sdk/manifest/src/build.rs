//! Writing a manifest by hand, step by step.

use serde_json::Value;

use crate::{Auth, AuthKind, ConfigField, Manifest, Oauth, Placement, Refused, SecretField, Verification};

impl Manifest {
    /// The manifest of a connector with a name (`[a-z][a-z0-9-]{0,62}`) and a title, and nothing else yet.
    ///
    /// ```
    /// # use headgate_manifest::{Auth, Manifest, SecretField};
    /// let manifest = Manifest::new("acme", "Acme CRM")
    ///     .description("Contacts of Acme CRM.")
    ///     .base_url("https://api.acme.example")
    ///     .auth(Auth::bearer("token", "API token", SecretField::new("token", "Token")))
    ///     .verification("GET", "/v1/me");
    /// assert_eq!(manifest.auth[0].id, "token");
    /// ```
    pub fn new(name: impl Into<String>, title: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            description: String::new(),
            version: String::new(),
            base_urls: Vec::new(),
            config: Vec::new(),
            auth: Vec::new(),
            verification: None,
            methods: Vec::new(),
            triggers: Vec::new(),
        }
    }

    /// Says which app it is for, and which part of it.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the version (SemVer); the crate's own otherwise.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Adds a URL below which requests are allowed; may hold `${config.NAME}`.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_urls.push(url.into());
        self
    }

    /// Adds a non-secret setting.
    #[must_use]
    pub fn config(mut self, field: ConfigField) -> Self {
        self.config.push(field);
        self
    }

    /// Adds a way to authenticate. The first one is what a connection gets unless it picks another.
    #[must_use]
    pub fn auth(mut self, auth: Auth) -> Self {
        self.auth.push(auth);
        self
    }

    /// Sets the harmless request that tells whether a connection works: its method, and path and query below the
    /// first base URL.
    #[must_use]
    pub fn verification(mut self, http_method: impl Into<String>, path: impl Into<String>) -> Self {
        self.verification = Some(Verification::new(http_method, path));
        self
    }

    /// Sets the harmless request that tells whether a connection works, where more than method and path is to be said.
    #[must_use]
    pub fn verified_by(mut self, verification: Verification) -> Self {
        self.verification = Some(verification);
        self
    }
}

impl Verification {
    /// A request by its method, and path and query below the first base URL.
    pub fn new(http_method: impl Into<String>, path: impl Into<String>) -> Self {
        Self { http_method: http_method.into(), path: path.into(), body: None, ok: None, refused: None, account: None }
    }

    /// Its JSON body.
    #[must_use]
    pub fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// A JSON pointer to what must be `true` in the answer, for apps that tell errors with the status 200.
    #[must_use]
    pub fn ok(mut self, pointer: impl Into<String>) -> Self {
        self.ok = Some(pointer.into());
        self
    }

    /// A JSON pointer and the text that stands there where the app refuses the credentials, for apps that tell that
    /// with another status than 401.
    #[must_use]
    pub fn refused(mut self, pointer: impl Into<String>, value: impl Into<String>) -> Self {
        self.refused = Some(Refused { pointer: pointer.into(), value: value.into() });
        self
    }

    /// A JSON pointer to what says whose account it is.
    #[must_use]
    pub fn account(mut self, pointer: impl Into<String>) -> Self {
        self.account = Some(pointer.into());
        self
    }
}

impl ConfigField {
    /// A setting that may be left out.
    pub fn new(name: impl Into<String>, title: impl Into<String>) -> Self {
        Self { name: name.into(), title: title.into(), ..Self::default() }
    }

    /// Says what to enter, and where to find it.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Every connection must set it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Its value when a connection does not set it.
    #[must_use]
    pub fn default_value(mut self, value: impl Into<String>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// The only values allowed.
    #[must_use]
    pub fn choices<T: Into<String>>(mut self, choices: impl IntoIterator<Item = T>) -> Self {
        self.choices = choices.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an allowed value with a name for people.
    #[must_use]
    pub fn choice(mut self, value: impl Into<String>, title: impl Into<String>) -> Self {
        let value = value.into();
        self.choice_titles.insert(value.clone(), title.into());
        self.choices.push(value);
        self
    }

    /// A regular expression that the whole value has to match.
    #[must_use]
    pub fn pattern(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// What stands before the value where people see it whole. Entered with it, it is taken off.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What stands after the value where people see it whole. Entered with it, it is taken off.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }

    /// It is shown only to people who ask for it.
    #[must_use]
    pub fn advanced(mut self) -> Self {
        self.advanced = true;
        self
    }
}

impl SecretField {
    /// A secret to be entered.
    pub fn new(name: impl Into<String>, title: impl Into<String>) -> Self {
        Self { name: name.into(), title: title.into(), ..Self::default() }
    }

    /// Says where to find it.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    fn placeholder(&self) -> String {
        format!("${{secret.{}}}", self.name)
    }
}

impl Auth {
    /// One secret, sent as `Authorization: Bearer SECRET`.
    pub fn bearer(id: impl Into<String>, title: impl Into<String>, secret: SecretField) -> Self {
        let value = secret.placeholder();
        Self::api_key(id, title, vec![secret], vec![Placement::Bearer { value }])
    }

    /// Two secrets, sent as `Authorization: Basic base64(USERNAME:PASSWORD)`.
    pub fn basic(
        id: impl Into<String>,
        title: impl Into<String>,
        username: SecretField,
        password: SecretField,
    ) -> Self {
        let placement = Placement::Basic { username: username.placeholder(), password: password.placeholder() };
        Self::api_key(id, title, vec![username, password], vec![placement])
    }

    /// One secret, sent in a header, whose name may hold `${config.NAME}`.
    pub fn header(
        id: impl Into<String>,
        title: impl Into<String>,
        header: impl Into<String>,
        secret: SecretField,
    ) -> Self {
        let placement = Placement::Header { name: header.into(), value: secret.placeholder() };
        Self::api_key(id, title, vec![secret], vec![placement])
    }

    /// One secret, sent in a query parameter, whose name may hold `${config.NAME}`.
    pub fn query(
        id: impl Into<String>,
        title: impl Into<String>,
        parameter: impl Into<String>,
        secret: SecretField,
    ) -> Self {
        let placement = Placement::Query { name: parameter.into(), value: secret.placeholder() };
        Self::api_key(id, title, vec![secret], vec![placement])
    }

    /// One secret, put into the JSON body of each request at a JSON pointer.
    pub fn body(
        id: impl Into<String>,
        title: impl Into<String>,
        pointer: impl Into<String>,
        secret: SecretField,
    ) -> Self {
        let placement = Placement::Body { pointer: pointer.into(), value: secret.placeholder() };
        Self::api_key(id, title, vec![secret], vec![placement])
    }

    /// OAuth with a client that the operator of the server registered.
    pub fn oauth(id: impl Into<String>, title: impl Into<String>, oauth: Oauth) -> Self {
        Self { id: id.into(), title: title.into(), kind: AuthKind::Oauth(Box::new(oauth)) }
    }

    /// OAuth with a client that the group itself registered.
    pub fn oauth_advanced(id: impl Into<String>, title: impl Into<String>, oauth: Oauth) -> Self {
        Self { id: id.into(), title: title.into(), kind: AuthKind::OauthAdvanced(Box::new(oauth)) }
    }

    /// Secrets with placements of their own.
    pub fn api_key(
        id: impl Into<String>,
        title: impl Into<String>,
        fields: Vec<SecretField>,
        placements: Vec<Placement>,
    ) -> Self {
        Self { id: id.into(), title: title.into(), kind: AuthKind::ApiKey { fields, placements } }
    }

    /// No authentication.
    pub fn none() -> Self {
        Self { id: "none".into(), title: "None".into(), kind: AuthKind::None }
    }
}
