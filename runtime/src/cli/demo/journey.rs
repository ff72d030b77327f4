//! The journey: everything is set up through the HTTP API, then a webhook comes in.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use http::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::cli::client::Client;
use crate::cli::demo::crm::Crm;
use crate::cli::demo::guests::Guests;
use crate::cli::demo::story::{Story, expect};
use crate::cli::output::{line, size};
use crate::cli::push::Component;
use crate::cli::{CliError, connections, runs};
use crate::domain::id::{ConnectionId, Environment};
use crate::domain::run::RunState;
use crate::http::api_keys::{CreatedApiKey, NewApiKey};
use crate::http::auth::SessionView;
use crate::http::connections::ConnectionView;
use crate::http::connectors::ConnectorView;
use crate::http::flows::{BindSlot, FlowView, NewFlow, Publish, VersionView};
use crate::http::groups::{GroupView, NewGroup};
use crate::http::problem::{ProblemBody, RUN_ID};
use crate::http::runs::RunView;
use crate::http::triggers::{TriggerChanges, TriggerView};

const GROUP: &str = "demo";
/// Who does everything: the demo's operator.
const OPERATOR: &str = "operator@example.com";
const FLOW: &str = "update-lead-status";
const ECHO: &str = "echo";
const STATUS: &str = "hs_lead_status";
/// Something that the flow logs, so that a file with the run's record has it.
const CONTROL: &str = "Deal 9001";
/// How long the record of a run may be under way: it is written behind, within a second.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// A demo under way.
pub(super) struct Journey {
    pub(super) story: Story,
    pub(super) client: Client,
    /// Where the server is reached.
    pub(super) url: String,
    /// The operator's.
    pub(super) password: SecretString,
    /// What the CRM wants, and no guest sees.
    pub(super) secret: SecretString,
    pub(super) crm: Crm,
    pub(super) deployed: Option<Deployed>,
}

/// What callers need.
pub(super) struct Deployed {
    key: String,
    lead_url: String,
    echo_url: String,
}

/// An answer to a webhook.
struct Answer {
    status: u16,
    run: Option<String>,
    body: String,
}

fn deal(email: &str) -> Value {
    json!({"deal": {"id": "9001", "stage": "closedwon"}, "contact": {"email": email}})
}

/// Sets the server up with its first operator; answers a client in their name.
pub(super) async fn become_operator(
    client: Client,
    setup: &SecretString,
    password: &SecretString,
    story: &mut Story,
) -> Result<Client, CliError> {
    let body = json!({"token": setup.expose_secret(), "email": OPERATOR, "password": password.expose_secret()});
    let session: SessionView = client.send_openly(&["auth", "setup"], &body).await?;
    story
        .say(&format!("its one-time token made {OPERATOR} the operator; all that follows goes through the HTTP API"))?;
    Client::new(&client.server(), Some(session.access_token.into()))
}

impl Journey {
    /// Sets everything up, fires webhooks, and looks at what was recorded.
    pub(super) async fn go(&mut self, guests: Guests, data: &Path) -> Result<(), CliError> {
        self.make_group().await?;
        self.install(guests.hubspot).await?;
        let connection = self.connect().await?;
        self.push(FLOW, guests.update_lead_status).await?;
        self.bind(connection).await?;
        self.push(ECHO, guests.echo).await?;
        self.publish().await?;
        let deployed = self.open_door().await?;
        self.knock_without_key(&deployed).await?;
        let run = self.fire(&deployed).await?;
        self.echo(&deployed).await?;
        self.look_at(&run).await?;
        self.look_for_the_secret(&run, data).await?;
        self.deployed = Some(deployed);
        Ok(())
    }

    async fn make_group(&mut self) -> Result<(), CliError> {
        self.story.step("Make a group: the tenant who owns keys, connections, flows and runs")?;
        let new = NewGroup {
            name: GROUP.parse()?,
            description: "Headgate's demo".to_owned(),
            environments: Vec::new(),
            owner: None,
        };
        let group: GroupView = self.client.send(Method::POST, &["groups"], &new).await?;
        let environments: Vec<_> = group.environments.iter().map(Environment::as_str).collect();
        self.story.say(&format!("group {}, with the environments {}", group.name, environments.join(" and ")))
    }

    async fn install(&mut self, component: Component) -> Result<(), CliError> {
        self.story.step("Install the connector")?;
        let path = ["groups", GROUP, "connectors"];
        let (connector, _): (ConnectorView, _) = self.client.put_module(&path, &[], component.bytes).await?;
        let methods: Vec<_> = connector.manifest.methods.iter().map(|method| method.name.as_str()).collect();
        self.story.say(&format!("{}  {}  {}", connector.name, size(connector.size), connector.digest))?;
        self.story.say(&format!("it describes itself; its methods are {}", methods.join(", ")))
    }

    async fn connect(&mut self) -> Result<ConnectionId, CliError> {
        self.story.step("Make a connection: the CRM's address and its token")?;
        let api_url = format!("http://{}", self.crm.address);
        let new = connections::Wanted {
            name: &"sales-crm".parse()?,
            connector: &"hubspot".parse()?,
            environment: &Environment::production(),
            auth: None,
            config: BTreeMap::from([("api_url", api_url.as_str())]),
            secrets: BTreeMap::from([("token", self.secret.clone())]),
            scopes: None,
            registration: None,
        };
        let connection: ConnectionView =
            self.client.send(Method::POST, &["groups", GROUP, "connections"], &new).await?;
        self.story.say(&format!(
            "{} ({}), which may reach {} and nothing else",
            connection.name,
            connection.id,
            connection.base_urls.join(", ")
        ))?;
        self.story
            .say("the token is random, made just now; it is stored encrypted, and the host puts it on a request")?;
        self.story.say("after the guest let go of it: neither the flow nor the connector ever sees it")?;
        Ok(connection.id)
    }

    async fn push(&mut self, name: &str, component: Component) -> Result<(), CliError> {
        self.story.step(&format!("Push the flow {name}"))?;
        let new = NewFlow { name: name.parse()?, description: String::new() };
        let flow: FlowView = self.client.send(Method::POST, &["groups", GROUP, "flows"], &new).await?;
        let path = ["groups", GROUP, "flows", name, "versions"];
        let note = [("note", Some("demo".to_owned()))];
        let (version, _): (VersionView, _) = self.client.put_module(&path, &note, component.bytes).await?;
        self.story.say(&format!(
            "{} version {}  {}  {}",
            flow.name,
            version.version,
            size(version.size),
            version.digest
        ))
    }

    async fn bind(&mut self, connection: ConnectionId) -> Result<(), CliError> {
        self.story.say("its code opens a connection by the name `crm`; that slot is bound to sales-crm")?;
        let bind = BindSlot { environment: Environment::production(), connection: Some(connection), create: None };
        let path = ["groups", GROUP, "flows", FLOW, "slots", "crm"];
        self.client.send::<FlowView>(Method::PUT, &path, &bind).await.map(drop)
    }

    async fn publish(&mut self) -> Result<(), CliError> {
        self.story.step("Publish both flows in production")?;
        for name in [FLOW, ECHO] {
            let publish = Publish { version: None, environment: Environment::production() };
            let flow: FlowView =
                self.client.send(Method::POST, &["groups", GROUP, "flows", name, "publish"], &publish).await?;
            self.story.say(&format!("{} version {}", flow.name, flow.published[&Environment::production()]))?;
        }
        Ok(())
    }

    async fn open_door(&mut self) -> Result<Deployed, CliError> {
        self.story.step("Make an API key, and triggers that accept it")?;
        let new = NewApiKey::named("webhooks".parse()?, Environment::production());
        let key: CreatedApiKey = self.client.send(Method::POST, &["groups", GROUP, "api-keys"], &new).await?;
        self.story.say(&format!("key {}: {}... (shown once; only a hash is kept)", key.view.name, key.view.prefix))?;
        let mut urls = Vec::new();
        for flow in [FLOW, ECHO] {
            let wanted = TriggerChanges { keys: Some(Some(vec!["webhooks".to_owned()])), ..TriggerChanges::default() };
            let path = ["groups", GROUP, "flows", flow, "triggers"];
            let trigger: TriggerView = self.client.send(Method::POST, &path, &wanted).await?;
            self.story.say(&format!("{flow:<20} {} {}", trigger.methods.join(","), trigger.url))?;
            urls.push(trigger.url);
        }
        let [lead_url, echo_url] = <[String; 2]>::try_from(urls).expect("there are two flows");
        Ok(Deployed { key: key.api_key, lead_url, echo_url })
    }

    async fn knock_without_key(&mut self, deployed: &Deployed) -> Result<(), CliError> {
        self.story.step("Fire the webhook without a key")?;
        let body = deal("ada@example.com").to_string();
        let answer = post(&deployed.lead_url, None, body).await?;
        let problem = serde_json::from_str::<ProblemBody>(&answer.body);
        let said = problem.map_or_else(|_| answer.body.clone(), |problem| problem.error);
        self.story.say(&format!("answer {}: {said}", answer.status))?;
        expect(answer.status == 401, || format!("without a key the webhook was answered {}", answer.status))
    }

    /// Answers the run's id.
    async fn fire(&mut self, deployed: &Deployed) -> Result<String, CliError> {
        self.story.step("Fire the webhook: a deal was won")?;
        let email = "ada@example.com";
        let body = deal(email).to_string();
        let before = self.crm.property(email, STATUS).unwrap_or_default();
        self.story.say(&format!("the CRM has {email} with {STATUS} = {before}"))?;
        self.story.say(&format!("POST {}", deployed.lead_url))?;
        self.story.say(&format!("Authorization: Bearer {}...", &deployed.key[..20.min(deployed.key.len())]))?;
        self.story.say(&body)?;
        let began = Instant::now();
        let answer = post(&deployed.lead_url, Some(&deployed.key), body).await?;
        let took = began.elapsed();
        self.story.say(&format!("answer {} after {:.1} ms", answer.status, took.as_secs_f64() * 1e3))?;
        self.story.say(&answer.body)?;
        let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        expect(answer.status == 200 && said["changed"] == true, || {
            format!("the webhook was answered {}: {}", answer.status, answer.body)
        })?;
        let after = self.crm.property(email, STATUS).unwrap_or_default();
        self.story.say(&format!("the CRM now has {email} with {STATUS} = {after}"))?;
        expect(after == "CONNECTED" && before != after, || format!("the lead's status is {after}, not CONNECTED"))?;
        answer.run.ok_or_else(|| CliError::Unexpected(format!("the answer has no header {RUN_ID}")))
    }

    async fn echo(&mut self, deployed: &Deployed) -> Result<(), CliError> {
        self.story.step("Fire the webhook of echo, the smallest flow")?;
        let body = "{\"unchanged\":  \"byte for byte, ümlauts too\"}".to_owned();
        let answer = post(&deployed.echo_url, Some(&deployed.key), body.clone()).await?;
        self.story.say(&format!("sent   {body}"))?;
        self.story.say(&format!("answer {} {}", answer.status, answer.body))?;
        expect(answer.status == 200 && answer.body == body, || "echo did not answer what was sent".to_owned())
    }

    async fn look_at(&mut self, run: &str) -> Result<(), CliError> {
        self.story.step("Read the recorded run back")?;
        let run = self.recorded(run).await?;
        self.story.say(&runs::show(&run))?;
        let succeeded = run.summary.state == RunState::Succeeded;
        let methods: Vec<_> = run.steps.iter().map(|step| step.method.as_str()).collect();
        expect(succeeded && methods == ["search_contacts", "update_contact"], || {
            format!("the run {} with the steps {methods:?}", runs::state(run.summary.state))
        })
    }

    /// The run, as soon as it is recorded.
    async fn recorded(&self, run: &str) -> Result<RunView, CliError> {
        let until = Instant::now() + RECORDED_WITHIN;
        loop {
            match self.client.get(&["groups", GROUP, "runs", run]).await {
                Err(CliError::Refused { status: 404, .. }) if Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                found => return found,
            }
        }
    }

    async fn look_for_the_secret(&mut self, run: &str, data: &Path) -> Result<(), CliError> {
        self.story.step("Look for the secret")?;
        let authorised = self.crm.received().iter().skip(2).filter(|received| received.authorised).count();
        for received in self.crm.received().iter().skip(2) {
            let with = if received.authorised { "with the right bearer token" } else { "WITHOUT the token" };
            self.story.say(&format!("the CRM received {} {} {with}", received.method, received.path))?;
        }
        expect(authorised == 2, || format!("the CRM received {authorised} requests with the token, not 2"))?;
        let record: Value = self.client.get(&["groups", GROUP, "runs", run]).await?;
        let clean = !record.to_string().contains(self.secret.expose_secret());
        self.story.say(if clean { "the run's record does not contain it" } else { "THE RUN'S RECORD CONTAINS IT" })?;
        let Files { seen, bytes, hits: [secrets, controls] } = self.search_store(data).await?;
        self.story.say(&format!("of the store's {seen} files ({}) {secrets} contain it in clear", size(bytes)))?;
        self.story.say(&format!("(the search works: {controls} contain \"{CONTROL}\", which the flow logged)"))?;
        expect(clean && secrets == 0, || "the secret stands in clear where it should not".to_owned())?;
        expect(controls > 0, || "the recorded run was not found in the store's files".to_owned())
    }

    /// Searches the store's files for the secret and the control, as soon as the run's record is among them.
    async fn search_store(&self, data: &Path) -> Result<Files, CliError> {
        let search = [self.secret.expose_secret(), CONTROL];
        let search = AhoCorasick::new(search).expect("short texts are patterns");
        let until = Instant::now() + RECORDED_WITHIN;
        loop {
            let mut files = Files::default();
            search_files(data, &search, &mut files)?;
            if files.hits[1] > 0 || Instant::now() > until {
                return Ok(files);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What can be tried while the server stays up.
    pub(super) fn invite(&self) -> Result<(), CliError> {
        let Some(Deployed { key, lead_url, echo_url }) = &self.deployed else { return Ok(()) };
        let (url, password) = (&self.url, self.password.expose_secret());
        let grace = deal("grace@example.com");
        line(&format!("\nThe server stays up at {url} until Ctrl-C. In another terminal, paste:\n"))?;
        line(&format!(
            "# another deal was won\ncurl -X POST '{lead_url}' -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{grace}'\n"
        ))?;
        line(&format!("# the smallest flow\ncurl -X POST '{echo_url}' -H 'Authorization: Bearer {key}' -d 'hello'\n"))?;
        line(&format!("# without a key\ncurl -X POST '{echo_url}' -d 'hello'\n"))?;
        line(&format!(
            "# the recorded runs, as a table: log in as {OPERATOR} with the password {password}\nexport HEADGATE_URL='{url}' HEADGATE_GROUP='{GROUP}'\ncargo run -q -- login --email {OPERATOR}\ncargo run -q -- runs"
        ))
    }
}

async fn post(url: &str, key: Option<&str>, body: String) -> Result<Answer, CliError> {
    let broken = |source| CliError::Broken { url: url.to_owned(), source };
    let client = reqwest::Client::builder().no_proxy().build().map_err(broken)?;
    let mut request = client.post(url).header(http::header::CONTENT_TYPE, "application/json").body(body);
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let answer = request.send().await.map_err(broken)?;
    let status = answer.status().as_u16();
    let run = answer.headers().get(RUN_ID).and_then(|run| run.to_str().ok()).map(str::to_owned);
    let body = answer.text().await.map_err(broken)?;
    Ok(Answer { status, run, body })
}

/// What was found in the files of a folder.
#[derive(Default)]
struct Files {
    seen: usize,
    bytes: u64,
    /// How many files have the text, by the text's place in the search.
    hits: [usize; 2],
}

fn search_files(folder: &Path, search: &AhoCorasick, files: &mut Files) -> Result<(), CliError> {
    for entry in std::fs::read_dir(folder).map_err(CliError::file("read", folder))? {
        let path = entry.map_err(CliError::file("read", folder))?.path();
        if path.is_dir() {
            search_files(&path, search, files)?;
            continue;
        }
        let contents = std::fs::read(&path).map_err(CliError::file("read", &path))?;
        files.seen += 1;
        files.bytes += contents.len() as u64;
        let mut found = [false; 2];
        search.find_iter(&contents).for_each(|hit| found[hit.pattern().as_usize()] = true);
        for (hits, found) in files.hits.iter_mut().zip(found) {
            *hits += usize::from(found);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        std::fs::write(folder.path().join("below/clear"), b"\0\0pat-demo-1\0").unwrap();
        std::fs::write(folder.path().join("other"), b"pat-demo-2").unwrap();
        let mut files = Files::default();
        search_files(folder.path(), &AhoCorasick::new(["pat-demo-1", "demo-2"]).unwrap(), &mut files).unwrap();
        assert_eq!((files.seen, files.bytes, files.hits), (2, 23, [1, 1]));
    }
}
