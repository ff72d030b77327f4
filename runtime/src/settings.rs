//! What an operator can set, read and checked once, at the start.
//!
//! Later layers win: defaults, the file (`headgate.toml`, or the one named by `--config`), variables, flags.
//!
//! ```toml
//! listen = "0.0.0.0:8080"
//! public_url = "https://flows.example.com"
//!
//! [egress]
//! allow_private = ["crm.internal:8443"]
//! ```
//!
//! The variable of a setting is `HEADGATE_` and its name in capitals, `__` between a section and a name:
//! `HEADGATE_LISTEN`, `HEADGATE_SERVICE__MAX_BODY`. Lists are separated by commas.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use config::{Config, Environment, File, FileFormat};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Semaphore;
use tracing_subscriber::EnvFilter;
use url::Url;

use crate::service::ServiceSettings;
use crate::service::alerts::AlertSettings;
use crate::service::api_keys::KeySettings;
use crate::service::doctor::{DoctorSettings, Premises};
use crate::service::limits::LimitSettings;
use crate::service::modules::ModuleSettings;
use crate::service::oidc::OidcSettings;
use crate::service::sessions::UsersSettings;
use crate::wasm::WasmSettings;
use crate::wasm::egress::EgressSettings;

/// The file that is read when it is there.
pub const DEFAULT_FILE: &str = "headgate.toml";
/// The variable that holds the key-encryption key itself: 64 hexadecimal digits. It is no setting, so that it is never shown.
pub const KEY_VARIABLE: &str = "HEADGATE_KEY";

const PREFIX: &str = "HEADGATE_";
/// Variables of other parts of the command line; they are no settings.
const OTHER_VARIABLES: [&str; 6] =
    [KEY_VARIABLE, "HEADGATE_CONFIG", "HEADGATE_URL", "HEADGATE_TOKEN", "HEADGATE_GROUP", "HEADGATE_PASSPHRASE"];
/// Settings whose variable holds a list.
const LISTS: [&str; 3] = ["egress.allow_private", "modules.trusted_keys", "trusted_proxies"];

/// Everything that can be set.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where the server listens. `127.0.0.1:8080`; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Where callers reach the server, the beginning of the URLs it shows. `http://<listen>`.
    pub public_url: Option<Url>,
    /// The networks of the proxies in front of the server, such as `10.0.0.0/8`: only these are believed when they say
    /// in `X-Forwarded-For` where a request came from. None.
    pub trusted_proxies: Vec<IpNet>,
    /// Where everything is kept. `headgate-data`, in the current folder.
    pub data_dir: PathBuf,
    /// The file with the key that encrypts secrets; made at the first start. `<data_dir>/keys/key-encryption-key`.
    pub key_file: Option<PathBuf>,
    /// What is logged, as `tracing-subscriber`'s `EnvFilter` reads it. `info`.
    pub log: String,
    /// How a line of the log looks. `text`.
    pub log_format: LogFormat,
    /// Bounds of requests, runs and the run history.
    pub service: ServiceSettings,
    /// Bounds of sessions and logins.
    pub users: UsersSettings,
    /// Bounds of API keys that have none of their own.
    pub limits: LimitSettings,
    /// When API keys are flagged.
    pub keys: KeySettings,
    /// When alerts are raised, and where those of the server are sent.
    pub alerts: AlertSettings,
    /// What `headgate doctor` goes by.
    pub doctor: DoctorSettings,
    /// The OpenID provider, where people log in through one.
    pub oidc: OidcSettings,
    /// Which modules are taken in, and from where.
    pub modules: ModuleSettings,
    /// Bounds of the sandbox.
    pub wasm: WasmSettings,
    /// Bounds of outgoing requests, and the private hosts they may reach.
    pub egress: EgressSettings,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            trusted_proxies: Vec::new(),
            data_dir: PathBuf::from("headgate-data"),
            key_file: None,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            service: ServiceSettings::default(),
            users: UsersSettings::default(),
            limits: LimitSettings::default(),
            keys: KeySettings::default(),
            alerts: AlertSettings::default(),
            doctor: DoctorSettings::default(),
            oidc: OidcSettings::default(),
            modules: ModuleSettings::default(),
            wasm: WasmSettings::default(),
            egress: EgressSettings::default(),
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// A file or variable cannot be read.
    #[error("the settings cannot be read")]
    Unreadable(#[from] config::ConfigError),
    /// A key that is no setting, most often a misspelt one.
    #[error("{origin} sets `{key}`, and there is no such setting. `headgate serve --print-settings` lists them all")]
    Unknown {
        /// Where it stands.
        origin: String,
        /// The whole name.
        key: String,
    },
    /// A value breaks a rule.
    #[error("the setting `{key}` cannot be used: {reason}")]
    Invalid {
        /// The whole name.
        key: &'static str,
        /// Which rule, and what to write instead.
        reason: String,
    },
}

/// Where settings come from, besides the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file named by hand; it must exist.
    pub file: Option<PathBuf>,
    /// Variables by name. Those that are not Headgate's are passed over.
    pub variables: HashMap<String, String>,
    /// Flags, by the setting's name.
    pub flags: BTreeMap<&'static str, String>,
}

impl Sources {
    /// The process's own variables.
    pub fn of_process(file: Option<PathBuf>, flags: BTreeMap<&'static str, String>) -> Self {
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self { file, variables: variables.collect(), flags }
    }
}

impl Settings {
    /// Reads all layers and checks them.
    pub fn load(sources: Sources) -> Result<Self, SettingsError> {
        let Sources { file, variables, flags } = sources;
        let path = file.as_deref().unwrap_or(Path::new(DEFAULT_FILE));
        let file = File::from(path).format(FileFormat::Toml).required(file.is_some());
        let variables = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str()));
        let mut environment = Environment::with_prefix(PREFIX.trim_end_matches('_'))
            .prefix_separator("_")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .source(Some(variables.collect()));
        for key in LISTS {
            environment = environment.with_list_parse_key(key);
        }
        refuse_unknown(Config::builder().add_source(file.clone()), |_| path.display().to_string())?;
        refuse_unknown(Config::builder().add_source(environment.clone()), variable)?;
        let mut layers = Config::builder().add_source(file).add_source(environment);
        for (key, value) in flags {
            layers = layers.set_override(key, value)?;
        }
        let settings: Self = layers.build()?.try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }

    /// The file with the key that encrypts secrets.
    pub fn key_file(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.data_dir.join("keys").join("key-encryption-key"))
    }

    /// Where callers reach a server that listens at `address`, without a trailing slash.
    pub fn public_url(&self, address: SocketAddr) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{address}"),
        }
    }

    /// Where everything is, for whoever examines it.
    pub fn premises(&self) -> Premises {
        Premises {
            settings: self.doctor.clone(),
            data_dir: self.data_dir.clone(),
            key_file: self.key_file(),
            listen: self.listen,
            public_url: self.public_url.clone(),
            behind_proxy: !self.trusted_proxies.is_empty(),
        }
    }

    /// Every setting by its whole name, with its value as text; what is not set, as it is derived.
    pub fn listing(&self) -> BTreeMap<String, String> {
        let mut listing = BTreeMap::new();
        let value = serde_json::to_value(self).expect("settings are texts, numbers and lists with text keys");
        flatten("", &value, &mut |key, value| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Null if key == "public_url" => self.public_url(self.listen),
                Value::Null if key == "key_file" => self.key_file().display().to_string(),
                Value::Null => "none".to_owned(),
                other => other.to_string(),
            };
            listing.insert(key.to_owned(), text);
        });
        listing
    }

    fn check(&self) -> Result<(), SettingsError> {
        let invalid = |key, reason: String| Err(SettingsError::Invalid { key, reason });
        if let Err(error) = EnvFilter::try_new(&self.log) {
            return invalid("log", format!("{error}. Write a level such as `info`, or `info,headgate=debug`"));
        }
        if let Some(url) = &self.public_url
            && (!matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some())
        {
            return invalid("public_url", "write an address such as https://flows.example.com".to_owned());
        }
        if self.alerts.endpoint.is_some() && self.alerts.secret_file.is_none() {
            return invalid(
                "alerts.secret_file",
                "alerts.endpoint needs it: name the file with the signing secret".to_owned(),
            );
        }
        let most = Semaphore::MAX_PERMITS;
        for (key, number) in [
            ("service.queue", self.service.queue),
            ("service.concurrent_async_runs", self.service.concurrent_async_runs),
            ("service.concurrent_polls", self.service.concurrent_polls),
        ] {
            if number == 0 || number > most {
                return invalid(key, format!("write a number from 1 to {most}"));
            }
        }
        let oidc = &self.oidc;
        if oidc.issuer.is_some() != oidc.client_id.is_some() {
            return invalid("oidc.client_id", "set it together with oidc.issuer, or neither".to_owned());
        }
        if let Some(issuer) = &oidc.issuer
            && !Url::parse(issuer).is_ok_and(|issuer| OidcSettings::is_safe_issuer(&issuer))
        {
            let reason = "write the provider's address with https, such as https://login.example.com";
            return invalid("oidc.issuer", reason.to_owned());
        }
        let users = &self.users;
        if users.access_token.as_secs() == 0 || users.access_token > users.refresh_token {
            return invalid(
                "users.access_token",
                "write at least `1s`, and no more than users.refresh_token".to_owned(),
            );
        }
        for (key, number) in [
            ("users.signing_key_days", users.signing_key_days),
            ("users.login_attempts", users.login_attempts),
            ("users.login_attempts_per_address", users.login_attempts_per_address),
        ] {
            if number == 0 {
                return invalid(key, "write at least 1".to_owned());
            }
        }
        Ok(())
    }
}

/// The variable of a setting.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// Finds the first key of a layer that is no setting; `origin` says where a key stands.
fn refuse_unknown(
    layer: config::ConfigBuilder<config::builder::DefaultState>,
    origin: impl Fn(&str) -> String,
) -> Result<(), SettingsError> {
    let given: Value = layer.build()?.try_deserialize()?;
    let known = Settings::default().listing();
    let mut unknown = None;
    flatten("", &given, &mut |key, _| {
        if !known.contains_key(key) && unknown.is_none() {
            unknown = Some(key.to_owned());
        }
    });
    match unknown {
        Some(key) => Err(SettingsError::Unknown { origin: origin(&key), key }),
        None => Ok(()),
    }
}

/// Calls `leaf` with every value that is not a section, and its whole name.
fn flatten(prefix: &str, value: &Value, leaf: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(section) => {
            for (name, value) in section {
                let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&key, value, leaf);
            }
        }
        other => leaf(prefix, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn load(text: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Settings, SettingsError> {
        let file = file(text);
        Settings::load(Sources {
            file: Some(file.path().to_owned()),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        })
    }

    #[test]
    fn later_layers_win() {
        let text = "listen = \"127.0.0.1:1\"\nlog = \"warn\"\n[service]\nqueue = 5\nmax_body = 7\n[egress]\nconnect_timeout = \"3s\"";
        let variables = [
            ("HEADGATE_LISTEN", "127.0.0.1:2"),
            ("HEADGATE_SERVICE__QUEUE", "6"),
            ("HEADGATE_EGRESS__ALLOW_PRIVATE", "127.0.0.1:9000,10.0.0.0/8"),
            ("HEADGATE_TOKEN", "not a setting"),
            ("PATH", "/bin"),
        ];
        let settings = load(text, &variables, &[("listen", "127.0.0.1:3")]).unwrap();
        assert_eq!(settings.listen, "127.0.0.1:3".parse().unwrap());
        assert_eq!((settings.service.queue, settings.service.max_body), (6, 7));
        assert_eq!(settings.log, "warn");
        assert_eq!(settings.egress.connect_timeout.as_secs(), 3);
        assert_eq!(settings.egress.allow_private.len(), 2);
        assert_eq!(settings.wasm, WasmSettings::default());
    }

    #[test]
    fn what_is_no_setting_is_named() {
        for (text, variables, key) in [
            ("lisen = \"x\"", &[][..], "`lisen`"),
            ("[service]\nmax_bdy = 1", &[], "`service.max_bdy`"),
            ("[sevice]\nmax_body = 1", &[], "`sevice.max_body`"),
            ("", &[("HEADGATE_WASM__MEMORY", "1")], "HEADGATE_WASM__MEMORY sets `wasm.memory`"),
        ] {
            let error = load(text, variables, &[]).unwrap_err().to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (text, key) in [
            ("log = \"x=y=z\"", "log"),
            ("public_url = \"ftp://x\"", "public_url"),
            ("[service]\nqueue = 0", "service.queue"),
            ("[users]\naccess_token = \"0s\"", "users.access_token"),
            ("[users]\naccess_token = \"2h\"\nrefresh_token = \"1h\"", "users.access_token"),
            ("[oidc]\nissuer = \"https://login.example.com\"", "oidc.client_id"),
            ("[oidc]\nissuer = \"http://login.example.com\"\nclient_id = \"x\"", "oidc.issuer"),
            ("[users]\nlogin_attempts = 0", "users.login_attempts"),
        ] {
            let error = load(text, &[], &[]).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
        let error = load("[service]\nqueue = \"many\"", &[], &[]).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("service.queue"), "{source}");
    }

    #[test]
    fn a_file_named_by_hand_must_exist() {
        let sources = Sources { file: Some("/does/not/exist.toml".into()), ..Sources::default() };
        let error = Settings::load(sources).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("/does/not/exist.toml"), "{source}");
    }

    #[test]
    fn derived_defaults() {
        let settings = load("data_dir = \"/data\"\npublic_url = \"https://flows.example.com/\"", &[], &[]).unwrap();
        assert_eq!(settings.key_file(), Path::new("/data/keys/key-encryption-key"));
        let address = "127.0.0.1:9".parse().unwrap();
        assert_eq!(settings.public_url(address), "https://flows.example.com");
        assert_eq!(Settings::default().public_url(address), "http://127.0.0.1:9");
    }
}
