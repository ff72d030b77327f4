//! Secrets on their way to the server. They never stand on the command line: other users of the machine can list
//! the arguments of a process, and shells keep them in their history.

pub(super) mod rotation;

use std::io::{self, BufRead, IsTerminal as _};
use std::str::FromStr;

use console::Term;
use secrecy::SecretString;
use zeroize::Zeroize as _;

use crate::cli::error::CliError;

const NEVER_AS_ARGUMENT: &str = "a secret is never written on the command line, where other users and the shell's \
    history see it. Write NAME to be asked for it, NAME=- to give it on standard input, or NAME=env:VARIABLE";

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Asked for on the terminal, hidden; from standard input where there is none.
    Ask,
    /// A line of standard input.
    Stdin,
    /// A variable of the environment.
    Variable(String),
}

/// `NAME`, `NAME=-` or `NAME=env:VARIABLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) source: Source,
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("env:") {
            Some(variable) if !variable.is_empty() => Ok(Self::Variable(variable.to_owned())),
            None if text == "-" => Ok(Self::Stdin),
            None if text == "ask" => Ok(Self::Ask),
            _ => Err(NEVER_AS_ARGUMENT),
        }
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, source) = match text.split_once('=') {
            Some((name, source)) => (name, source.parse()?),
            None => (text, Source::Ask),
        };
        if name.is_empty() {
            return Err("write the secret's name, as `headgate connectors show` lists it");
        }
        Ok(Self { name: name.to_owned(), source })
    }
}

impl Source {
    /// Reads the secret. `what` names it in the question and in errors.
    pub(super) fn read(&self, what: &str) -> Result<SecretString, CliError> {
        match self {
            Self::Variable(variable) => {
                let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
                value.map(SecretString::from).ok_or_else(|| {
                    CliError::Usage(format!("the variable {variable} is not set; it should hold {what}"))
                })
            }
            Self::Ask if io::stdin().is_terminal() => ask(what),
            Self::Ask | Self::Stdin => from_line(&mut io::stdin().lock(), what),
        }
    }
}

/// Reads what is no secret: asked for on the terminal, or a line of standard input where there is none.
pub(super) fn read_plain(what: &str) -> Result<String, CliError> {
    use secrecy::ExposeSecret as _;
    if !io::stdin().is_terminal() {
        return Ok(from_line(&mut io::stdin().lock(), what)?.expose_secret().to_owned());
    }
    let terminal = Term::stderr();
    terminal.write_str(&format!("{what}: ")).map_err(CliError::Output)?;
    let text = terminal.read_line().map_err(CliError::Output)?;
    if text.is_empty() { Err(CliError::Usage(format!("nothing was entered for {what}"))) } else { Ok(text) }
}

/// Reads a password to be set: on the terminal twice, so that a mistyped one is noticed.
pub(super) fn read_new_password(what: &str) -> Result<SecretString, CliError> {
    use secrecy::ExposeSecret as _;
    let password = Source::Ask.read(what)?;
    if io::stdin().is_terminal() && ask("the same again")?.expose_secret() != password.expose_secret() {
        return Err(CliError::Usage("the two passwords differ. Try again".to_owned()));
    }
    Ok(password)
}

fn ask(what: &str) -> Result<SecretString, CliError> {
    let terminal = Term::stderr();
    terminal.write_str(&format!("{what} (hidden): ")).map_err(CliError::Output)?;
    let text = terminal.read_secure_line().map_err(CliError::Output)?;
    if text.is_empty() { Err(CliError::Usage(format!("nothing was entered for {what}"))) } else { Ok(text.into()) }
}

fn from_line(input: &mut impl BufRead, what: &str) -> Result<SecretString, CliError> {
    let mut line = String::new();
    let read = input.read_line(&mut line);
    let text = SecretString::from(line.trim_end_matches(['\r', '\n']));
    let empty = line.trim_end_matches(['\r', '\n']).is_empty();
    line.zeroize();
    match read {
        Ok(_) if !empty => Ok(text),
        Ok(_) => Err(CliError::Usage(format!("standard input has no line for {what}"))),
        Err(error) => Err(CliError::Usage(format!("standard input cannot be read for {what}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_secret_is_named_and_never_given() {
        let secret = |text: &str| text.parse::<Secret>().map(|secret| (secret.name, secret.source));
        assert_eq!(secret("token"), Ok(("token".into(), Source::Ask)));
        assert_eq!(secret("token=-"), Ok(("token".into(), Source::Stdin)));
        assert_eq!(secret("token=env:TOKEN"), Ok(("token".into(), Source::Variable("TOKEN".into()))));
        for wrong in ["token=pat-1234", "token=", "token=env:", "token=-x"] {
            assert_eq!(secret(wrong), Err(NEVER_AS_ARGUMENT), "{wrong}");
        }
        assert!(secret("").is_err());
    }

    #[test]
    fn each_secret_is_a_line_of_standard_input() {
        let mut input = io::Cursor::new("one\r\ntwo\n");
        let mut next = || from_line(&mut input, "the token");
        assert_eq!(next().unwrap().expose_secret(), "one");
        assert_eq!(next().unwrap().expose_secret(), "two");
        assert!(next().unwrap_err().to_string().contains("the token"));
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = Source::Variable("HEADGATE_TEST_NOT_SET".into()).read("the token").unwrap_err();
        assert!(error.to_string().contains("HEADGATE_TEST_NOT_SET"), "{error}");
    }
}
