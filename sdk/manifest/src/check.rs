//! Whether a manifest makes sense.

mod entries;
mod oauth;

use crate::{Manifest, Placement};

impl Manifest {
    /// What is wrong with it, one sentence each; nothing when it is in order.
    ///
    /// ```
    /// # use headgate_manifest::Manifest;
    /// let faults = Manifest::new("Acme", "Acme").version("1.0.0").base_url("https://${config.host}").faults();
    /// assert!(faults[0].contains("the name \"Acme\""));
    /// assert!(faults[1].contains("${config.host}"));
    /// ```
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let connector_name = self.name.starts_with(|c: char| c.is_ascii_lowercase())
            && self.name.len() <= 63
            && self.name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !connector_name {
            let name = &self.name;
            faults.push(format!("the name \"{name}\" is not a lower-case letter followed by up to 62 of a-z, 0-9, -"));
        }
        if self.version.is_empty() {
            faults.push("the version is empty".into());
        }
        self.check_names(&mut faults);
        self.check_entries(&mut faults);
        self.check_urls(&mut faults);
        self.check_placements(&mut faults);
        self.check_oauth(&mut faults);
        faults
    }

    fn check_names(&self, faults: &mut Vec<String>) {
        let config = self.config.iter().map(|field| ("config field", field.name.as_str()));
        let methods = self.methods.iter().map(|method| ("method", method.name.as_str()));
        let triggers = self.triggers.iter().map(|trigger| ("trigger", trigger.name.as_str()));
        let secrets = self.auth.iter().flat_map(|auth| auth.kind.fields());
        let secrets = secrets.map(|field| ("secret field", field.name.as_str()));
        for (kind, name) in config.clone().chain(methods.clone()).chain(triggers.clone()).chain(secrets) {
            if !is_snake_case(name) {
                faults.push(format!("the {kind} \"{name}\" is not a lower-case letter followed by a-z, 0-9, _"));
            }
        }
        let ids = self.auth.iter().map(|auth| ("authentication", auth.id.as_str()));
        for (kind, names) in [
            ("config field", config.map(|(_, name)| name).collect::<Vec<_>>()),
            ("method", methods.map(|(_, name)| name).collect()),
            ("trigger", triggers.map(|(_, name)| name).collect()),
            ("authentication", ids.map(|(_, id)| id).collect()),
        ] {
            for (index, name) in names.iter().enumerate() {
                if names[..index].contains(name) {
                    faults.push(format!("the {kind} \"{name}\" stands there twice"));
                }
            }
        }
    }

    fn check_urls(&self, faults: &mut Vec<String>) {
        if self.base_urls.is_empty() {
            faults.push("there is no base URL, so no request would be allowed".into());
        }
        for url in &self.base_urls {
            if !(url.starts_with("https://") || url.starts_with("http://") || url.starts_with("${config.")) {
                faults.push(format!("the base URL \"{url}\" is not an absolute http or https URL"));
            }
            // A setting that is an address is never put into a larger one: it could move the host.
            if url.starts_with("${") && url.find('}').is_some_and(|end| end + 1 < url.len()) {
                faults.push(format!("the base URL \"{url}\" begins with a setting, which then has to be all of it"));
            }
            self.check_placeholders(&format!("the base URL \"{url}\""), url, &[], faults);
        }
        if let Some(verification) = &self.verification
            && !verification.path.starts_with('/')
        {
            faults.push(format!("the verification's path \"{}\" does not start with /", verification.path));
        }
    }

    fn check_placements(&self, faults: &mut Vec<String>) {
        if self.auth.is_empty() {
            faults.push("there is no way to authenticate; add one of kind none where the app asks for none".into());
        }
        for auth in &self.auth {
            let mut secrets: Vec<&str> = auth.kind.fields().iter().map(|field| field.name.as_str()).collect();
            secrets.extend(auth.kind.oauth().map(|_| "access_token"));
            let subject = format!("the authentication \"{}\"", auth.id);
            for placement in auth.kind.placements() {
                let (names, values) = match placement {
                    Placement::Bearer { value } => (vec![], vec![value]),
                    Placement::Basic { username, password } => (vec![], vec![username, password]),
                    Placement::Header { name, value } | Placement::Query { name, value } => (vec![name], vec![value]),
                    Placement::Body { pointer, value } => {
                        if !is_pointer(pointer) {
                            faults.push(format!(
                                "{subject} has the JSON pointer \"{pointer}\", which does not start with /"
                            ));
                        }
                        (vec![], vec![value])
                    }
                };
                for name in names {
                    self.check_placeholders(&subject, name, &[], faults);
                }
                for value in values {
                    self.check_placeholders(&subject, value, &secrets, faults);
                }
            }
        }
    }

    /// Each placeholder has to name a config field, or one of the secrets where those are allowed.
    fn check_placeholders(&self, subject: &str, text: &str, secrets: &[&str], faults: &mut Vec<String>) {
        let mut rest = text;
        while let Some((_, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                faults.push(format!("{subject} has a placeholder \"${{\" that is not closed by \"}}\""));
                return;
            };
            let known = match name.split_once('.') {
                Some(("config", field)) => self.config.iter().any(|config| config.name == field),
                Some(("secret", field)) => secrets.contains(&field),
                _ => false,
            };
            if !known {
                faults.push(format!("{subject} has the placeholder ${{{name}}}, which stands for no field"));
            }
            rest = after;
        }
    }
}

/// A JSON pointer to a member (RFC 6901).
fn is_pointer(text: &str) -> bool {
    text.starts_with('/')
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    use crate::{Auth, ConfigField, Manifest, SecretField};

    fn sound() -> Manifest {
        Manifest::new("acme", "Acme")
            .version("1.0.0")
            .config(ConfigField::new("host", "Host"))
            .base_url("https://${config.host}")
            .auth(Auth::bearer("token", "Token", SecretField::new("token", "Token")))
            .verification("GET", "/me")
    }

    #[test]
    fn names_each_fault() {
        assert_eq!(sound().faults(), Vec::<String>::new());
        let cases: [(Manifest, &str); 10] = [
            (Manifest { name: "Acme".into(), ..sound() }, "the name \"Acme\""),
            (sound().version(""), "the version"),
            (sound().config(ConfigField::new("Host", "")), "the config field \"Host\" is not"),
            (sound().config(ConfigField::new("host", "")), "the config field \"host\" stands there twice"),
            (sound().base_url("ftp://x"), "the base URL \"ftp://x\""),
            (sound().base_url("https://${secret.token}"), "the placeholder ${secret.token}"),
            (sound().base_url("https://${config.host"), "not closed"),
            (sound().base_url("${config.host}/v1"), "begins with a setting"),
            (
                sound().auth(Auth::header("key", "", "${config.name}", SecretField::new("key", ""))),
                "the placeholder ${config.name}",
            ),
            (sound().verification("GET", "me"), "the verification's path"),
        ];
        for (manifest, expected) in cases {
            let faults = manifest.faults();
            assert!(faults.len() == 1 && faults[0].contains(expected), "{expected}: {faults:?}");
        }
    }
}
