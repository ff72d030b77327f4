//! Whether what a manifest says about OAuth makes sense.

use std::collections::BTreeSet;

use super::is_pointer;
use crate::{Manifest, MetadataSource, Oauth, OauthGrant};

impl Manifest {
    pub(super) fn check_oauth(&self, faults: &mut Vec<String>) {
        for auth in &self.auth {
            let Some(oauth) = auth.kind.oauth() else { continue };
            let subject = format!("the authentication \"{}\"", auth.id);
            if oauth.grant == OauthGrant::AuthorizationCode && oauth.authorization_url.is_none() {
                faults.push(format!("{subject} has no authorization URL"));
            }
            self.check_endpoints(&subject, oauth, faults);
            self.check_metadata(&subject, oauth, faults);
            let names: BTreeSet<_> = oauth.scopes.iter().map(|scope| &scope.name).collect();
            if names.len() < oauth.scopes.len() {
                faults.push(format!("{subject} has a scope twice"));
            }
            for pointer in [&oauth.token_fields.access_token, &oauth.token_fields.refresh_token] {
                if !is_pointer(pointer) {
                    faults.push(format!("{subject} has the JSON pointer \"{pointer}\", which does not start with /"));
                }
            }
        }
        let known: BTreeSet<_> =
            self.auth.iter().filter_map(|auth| auth.kind.oauth()).flat_map(|o| &o.scopes).collect();
        for method in &self.methods {
            for scope in &method.scopes {
                if !known.iter().any(|known| known.name == *scope) {
                    let name = &method.name;
                    faults.push(format!("the method \"{name}\" needs the scope \"{scope}\", which no OAuth offers"));
                }
            }
        }
    }

    fn check_endpoints(&self, subject: &str, oauth: &Oauth, faults: &mut Vec<String>) {
        let optional = [&oauth.authorization_url, &oauth.refresh_url, &oauth.revocation_url, &oauth.introspection_url];
        for url in optional.into_iter().flatten().chain([&oauth.token_url]) {
            if !(url.starts_with("https://") || url.starts_with("http://") || url.starts_with("${config.")) {
                faults.push(format!("{subject} has the URL \"{url}\", which is not absolute"));
            }
            self.check_placeholders(subject, url, &[], faults);
        }
        let params = [&oauth.authorization_params, &oauth.token_params, &oauth.refresh_params, &oauth.token_headers];
        for value in params.into_iter().flat_map(|params| params.values()) {
            self.check_placeholders(subject, value, &[], faults);
        }
    }

    /// What an app tells may become part of a URL only within a rule.
    fn check_metadata(&self, subject: &str, oauth: &Oauth, faults: &mut Vec<String>) {
        if oauth.grant == OauthGrant::ClientCredentials && !oauth.metadata.is_empty() {
            faults.push(format!("{subject} sets settings from outside, which only somebody's authorization can do"));
        }
        for metadata in &oauth.metadata {
            let name = &metadata.config;
            let Some(field) = self.config.iter().find(|field| field.name == *name) else {
                faults.push(format!("{subject} sets \"{name}\", which is no config field"));
                continue;
            };
            if field.pattern.is_none() && field.choices.is_empty() {
                faults.push(format!("{subject} sets \"{name}\" from outside, which needs a pattern or an enum"));
            }
            if metadata.source == MetadataSource::Token && !is_pointer(&metadata.field) {
                let pointer = &metadata.field;
                faults.push(format!("{subject} has the JSON pointer \"{pointer}\", which does not start with /"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Auth, ConfigField, Manifest, Oauth, ScopeField};

    fn with(oauth: Oauth) -> Manifest {
        Manifest::new("acme", "Acme")
            .version("1.0.0")
            .config(ConfigField::new("region", "Region").choices(["eu", "us"]))
            .config(ConfigField::new("note", "Note"))
            .base_url("https://api.acme.example")
            .auth(Auth::oauth("oauth", "Acme", oauth))
    }

    #[test]
    fn names_each_fault() {
        let sound = || Oauth::code("https://${config.region}.acme.example/a", "https://acme.example/t");
        assert_eq!(with(sound().metadata_from_redirect("region", "location")).faults(), Vec::<String>::new());
        let cases: [(Oauth, &str); 7] = [
            (
                Oauth::client_credentials("https://acme.example/t").metadata_from_token("region", "/x"),
                "only somebody's authorization",
            ),
            (Oauth { authorization_url: None, ..sound() }, "no authorization URL"),
            (sound().refresh_url("acme.example"), "not absolute"),
            (sound().token_param("x", "${config.zone}"), "${config.zone}"),
            (sound().metadata_from_token("note", "/x"), "needs a pattern or an enum"),
            (sound().metadata_from_token("region", "x"), "does not start with /"),
            (sound().scope(ScopeField::new("a", "")).scope(ScopeField::new("a", "")), "a scope twice"),
        ];
        for (oauth, expected) in cases {
            let faults = with(oauth).faults();
            assert!(faults.len() == 1 && faults[0].contains(expected), "{expected}: {faults:?}");
        }
    }
}
