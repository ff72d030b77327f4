//! What it costs to decide about one request: authentication, permission, rate and quota; with a thousand keys and with
//! a million. And what a million keys take of memory.
//!
//! ```sh
//! CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev -p headgate --bench access
//! ```
//!
//! The requests take turns with a thousand keys that lie anywhere in the catalog. Each of these has a rate and a quota of
//! its own.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

use std::hint::black_box;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::Criterion;
use futures::FutureExt as _;
use headgate::domain::api_key::{ApiKey, KeyLimits, KeyPermission, KeySecret, PlainApiKey, SecretSlot};
use headgate::domain::cors::Cors;
use headgate::domain::digest::ModuleDigest;
use headgate::domain::flow::{ExecuteTrigger, Flow, Publication};
use headgate::domain::group::Group;
use headgate::domain::id::{Environment, FlowId, TriggerId};
use headgate::domain::secret::Pepper;
use headgate::domain::trigger::{HttpSettings, RoutingKey, Trigger};
use headgate::service::Clock;
use headgate::service::access::{Door, Presented};
use headgate::service::catalog::Catalog;
use headgate::service::hooks::{Call, Target};
use headgate::service::limits::{LimitSettings, Limits};
use headgate::service::record::Record;
use headgate::service::usage::Seen;
use headgate::service::vault::random;
use headgate::store::MemoryStore;
use jiff::Timestamp;
use tokio::runtime::Runtime;

const GROUPS: usize = 100;
/// Keys that are in use.
const ACTIVE: usize = 1_000;
const ROUNDS: usize = 30;
const ROUND: usize = 50_000;

/// A catalog, and requests with its keys.
struct House {
    catalog: ArcSwap<Catalog>,
    pepper: Pepper,
    limits: Arc<Limits>,
    clock: Clock,
    requests: Vec<(Target, String)>,
    next: usize,
}

fn main() {
    let runtime = Runtime::new().unwrap();
    println!("a key is {} bytes, and each of its secrets {}", size_of::<ApiKey>(), size_of::<KeySecret>());
    let mut million = runtime.block_on(House::with(1_000_000));
    let mut thousand = runtime.block_on(House::with(1_000));

    let mut criterion = Criterion::default().configure_from_args().measurement_time(Duration::from_secs(5));
    criterion.bench_function("a request among 1,000 keys", |bench| bench.iter(|| thousand.request(&runtime)));
    criterion.bench_function("a request among 1,000,000 keys", |bench| bench.iter(|| million.request(&runtime)));
    criterion.final_summary();
    pairs(&mut thousand, &mut million, &runtime);
}

/// Both in turns, so that whatever else the machine does slows down both.
fn pairs(thousand: &mut House, million: &mut House, runtime: &Runtime) {
    let mut times: Vec<(f64, f64)> = Vec::new();
    for _ in 0..ROUNDS {
        times.push((thousand.round(runtime), million.round(runtime)));
    }
    let median = |of: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = times.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "in turns, medians of {ROUNDS} rounds of {ROUND}: {:.2} us of computing among 1,000 keys, {:.2} us among 1,000,000, ratio {:.3}",
        median(|pair| pair.0),
        median(|pair| pair.1),
        median(|pair| pair.1 / pair.0)
    );
}

impl House {
    async fn with(keys: usize) -> Self {
        let pepper = Pepper::new(&[7; 32]);
        let mut catalog = Catalog::default();
        let routes: Vec<_> = (0..GROUPS).map(|number| furnish(&mut catalog, number)).collect();
        let every = (keys / ACTIVE).max(1);
        let mut requests = Vec::new();
        let before = resident();
        for number in 0..keys {
            let plain = PlainApiKey::generate(&Environment::production(), random);
            let mut key = key(&plain, number, number * GROUPS / keys, &pepper);
            let active = number % every == 0;
            if active {
                key.limits = Some(Box::new(KeyLimits { rate_per_minute: Some(u32::MAX), daily_quota: Some(u64::MAX) }));
            }
            catalog.put(Record::ApiKey(Arc::new(key)));
            if active {
                let target = Target::Hook(Some(routes[number * GROUPS / keys].clone()));
                requests.push((target, format!("Bearer {}", plain.reveal())));
            }
        }
        println!("{keys} keys: {} MB resident", (resident() - before) / 1000);
        // The order of their ids, which are random.
        requests.sort_by(|(_, one), (_, other)| one.cmp(other));
        let clock: Clock = Arc::new(Timestamp::now);
        let store = Arc::new(MemoryStore::default());
        let limits = Arc::new(Limits::load(LimitSettings::default(), store, clock()).await.unwrap());
        let mut house = Self { catalog: ArcSwap::from_pointee(catalog), pepper, limits, clock, requests, next: 0 };
        // The first request of a day waits for its quota.
        for _ in 0..house.requests.len() {
            let admitted =
                house.door().admit(&house.call(&house.presented(), &OnceLock::new(), &Seen::default())).unwrap();
            house.limits.charge(admitted.key(), &house.clock).await.unwrap();
            house.next += 1;
        }
        house
    }

    fn door(&self) -> Door<'_> {
        Door { catalog: self.catalog.load_full(), pepper: &self.pepper, now: (self.clock)() }
    }

    fn presented(&self) -> Presented {
        let mut presented = Presented::default();
        presented.add_header(&self.requests[self.next % self.requests.len()].1);
        presented
    }

    fn call<'a>(&'a self, presented: &'a Presented, crossing: &'a OnceLock<Cors>, seen: &'a Seen) -> Call<'a> {
        let target = &self.requests[self.next % self.requests.len()].0;
        let address = Some([203, 0, 113, 7].into());
        Call {
            target,
            presented,
            method: "POST",
            profile: None,
            address,
            origin: None,
            crossing,
            subscribes: false,
            seen,
        }
    }

    /// Everything that is decided about a request before its body is read.
    fn request(&mut self, runtime: &Runtime) {
        let _entered = runtime.enter();
        let presented = self.presented();
        let admitted = self.door().admit(&self.call(&presented, &OnceLock::new(), &Seen::default())).unwrap();
        let charging = self.limits.charge(admitted.key(), &self.clock);
        let standing = charging.now_or_never().expect("quota is reserved ahead of the requests").unwrap();
        black_box((admitted, standing));
        self.next += 1;
    }

    /// Microseconds of computing per request.
    fn round(&mut self, runtime: &Runtime) -> f64 {
        let begun = computed();
        for _ in 0..ROUND {
            self.request(runtime);
        }
        (computed() - begun) as f64 / 1e3 / ROUND as f64
    }
}

/// A key of a group. Keys are read in the order of groups and ids, in which their names stand anyhow.
fn key(plain: &PlainApiKey, number: usize, group: usize, pepper: &Pepper) -> ApiKey {
    ApiKey {
        id: *plain.id(),
        group: format!("group-{group}").parse().unwrap(),
        environment: Environment::production(),
        name: format!("order-sync-{}", number * 7_919 % 1_000_003).parse().unwrap(),
        description: "".into(),
        class: None,
        secrets: [KeySecret { slot: SecretSlot::Primary, hash: plain.hash(pepper), created: None, not_after: None }]
            .into(),
        created: Timestamp::now(),
        expires: Some("2100-01-01T00:00:00Z".parse().unwrap()),
        disabled: false,
        revoked: None,
        permission: KeyPermission::AllFlows,
        scopes: KeyPermission::AllFlows.default_scopes(),
        limits: None,
        networks: Box::default(),
    }
}

/// A group with a flow and its trigger; answers the routing key.
fn furnish(catalog: &mut Catalog, number: usize) -> RoutingKey {
    let created = Timestamp::now();
    let id = format!("{number:020}");
    let settings = Arc::new(HttpSettings::initial());
    let environments = vec![Environment::production(), Environment::test()];
    let group = Group::new(format!("group-{number}").parse().unwrap(), environments, created);
    let publication = Publication { version: 1, digest: ModuleDigest::of(id.as_bytes()) };
    let flow = Flow {
        id: FlowId::from_random(&id).unwrap(),
        group: group.id.clone(),
        name: "orders".parse().unwrap(),
        description: String::new(),
        latest: 1,
        published: [(Environment::production(), publication)].into(),
        history: [].into(),
        slots: [].into(),
        execute: ExecuteTrigger {
            id: TriggerId::from_random(&id).unwrap(),
            description: String::new(),
            settings: settings.clone(),
        },
        created,
    };
    let routing_key = RoutingKey::generate(random);
    let trigger = Trigger {
        id: TriggerId::from_random(&format!("1{number:019}")).unwrap(),
        group: group.id.clone(),
        flow: flow.id.clone(),
        description: String::new(),
        routing_key: routing_key.clone(),
        path: None,
        settings,
        created,
    };
    catalog.put(Record::Group(Arc::new(group)));
    catalog.put(Record::Flow(Arc::new(flow)));
    catalog.put(Record::Trigger(Arc::new(trigger)));
    routing_key
}

/// How long this thread has computed, in nanoseconds: what else the machine does is not counted. The kernel brings it up
/// to date every few milliseconds.
fn computed() -> u64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    figures.split_whitespace().next().unwrap().parse().unwrap()
}

/// The memory of this process in kilobytes (1000 bytes).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024 / 1000
}
