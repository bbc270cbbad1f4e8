//! Where the servers are: written in the settings, or asked of DNS from time to time.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use watershed_config::{BuildError, Period, ServerUrl};
use watershed_pipeline::{Context, Counter, Gauge, Unit};

use super::ring::Ring;

/// The port of a server that is written without one: OTLP over gRPC.
const PORT: u16 = 4317;

/// Where the servers are: exactly one of `static` and `dns`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Servers that are known.
    #[serde(rename = "static")]
    fixed: Option<Static>,
    /// Servers that share a name in DNS.
    dns: Option<Dns>,
    /// Of the Collector; refused here.
    k8s: Option<Value>,
    /// Of the Collector; refused here.
    aws_cloud_map: Option<Value>,
}

/// Servers that are known.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Static {
    /// Each server as `host:port` or `host`, whose port is then 4317; in the same words for every balancer. Required.
    hostnames: Vec<String>,
}

/// Servers that share a name in DNS.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dns {
    /// The name; each of its addresses is a server. Required.
    hostname: String,
    /// The port of every server. Default 4317.
    port: Option<u16>,
    /// How often the name is asked for. Default `5s`.
    #[serde(default = "interval")]
    interval: Period,
    /// How long an answer may take. Default `1s`.
    #[serde(default = "one_second")]
    timeout: Period,
}

fn interval() -> Period {
    Period::seconds(5)
}

fn one_second() -> Period {
    Period::seconds(1)
}

/// What knows the addresses of a name.
#[async_trait]
pub(super) trait Lookup: Send + Sync {
    /// The addresses, in any order.
    ///
    /// # Errors
    /// The name is not known, or nobody answers.
    async fn addresses(&self, hostname: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
pub(super) struct System;

#[async_trait]
impl Lookup for System {
    async fn addresses(&self, hostname: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((hostname, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// The servers at one moment.
pub(super) struct Servers {
    /// Name and address of each, sorted by name. The name is its place on the ring: what the settings say, and for DNS
    /// an address, with the port only if the settings have one. So does the Collector.
    list: Vec<(String, Url)>,
    /// Who owns which key, by position in the list.
    pub(super) ring: Ring,
}

impl Servers {
    fn new(mut list: Vec<(String, Url)>) -> Self {
        list.sort();
        list.dedup();
        let ring = Ring::new(list.iter().map(|(name, _)| name.as_str()));
        Self { list, ring }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Name and address of each.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Url)> {
        self.list.iter().map(|(name, url)| (name.as_str(), url))
    }

    /// Name and address of one.
    pub(super) fn get(&self, position: usize) -> Option<(&str, &Url)> {
        self.list.get(position).map(|(name, url)| (name.as_str(), url))
    }
}

/// Knows the servers.
pub(super) struct Resolver {
    current: RwLock<Arc<Servers>>,
    dns: Option<Question>,
    is_secure: bool,
    count: Gauge,
    updates: Counter,
}

/// What DNS is asked.
struct Question {
    settings: Dns,
    lookup: Box<dyn Lookup>,
    asked_at: Mutex<Option<Instant>>,
    answered: Counter,
    failed: Counter,
}

impl Resolver {
    /// Checks the settings. `is_secure` says whether servers are spoken to with TLS.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub(super) fn new(
        settings: &Settings,
        is_secure: bool,
        lookup: Box<dyn Lookup>,
        cx: &Context,
    ) -> Result<Self, BuildError> {
        settings.refuse_others()?;
        let (name, list) = match (&settings.fixed, &settings.dns) {
            (Some(fixed), None) => ("static", fixed.servers(is_secure)?),
            (None, Some(dns)) => ("dns", dns.check().map(|()| Vec::new())?),
            (Some(_), Some(_)) => {
                return Err(BuildError::at("resolver", "has both `static` and `dns`; remove one"));
            }
            (None, None) => {
                let message = "names no servers; add `static: {hostnames: [...]}` or `dns: {hostname: ...}`";
                return Err(BuildError::at("resolver", message));
            }
        };
        let label = ("resolver", name);
        let counter = |success| {
            let help = "Times that DNS was asked for the servers.";
            let labels = [label, ("success", success)];
            cx.labelled_counter("loadbalancer_num_resolutions", Unit::Requests, help, &labels)
        };
        let dns = settings.dns.clone().map(|settings| Question {
            settings,
            lookup,
            asked_at: Mutex::new(None),
            answered: counter("true"),
            failed: counter("false"),
        });
        let help = "Times that servers came or went.";
        let updates = cx.labelled_counter("loadbalancer_num_backend_updates", Unit::Requests, help, &[label]);
        let count = cx.gauge("loadbalancer_num_backends", Unit::Handles, "Servers that share the load.");
        let resolver =
            Self { current: RwLock::new(Arc::new(Servers::new(Vec::new()))), dns, is_secure, count, updates };
        resolver.set(list);
        Ok(resolver)
    }

    /// The servers as they are known now.
    pub(super) fn servers(&self) -> Arc<Servers> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks DNS again if it is time to. Without a good answer the servers stay as they are.
    pub(super) async fn refresh(&self) {
        let Some(question) = self.dns.as_ref().filter(|question| question.is_due()) else { return };
        match question.ask(self.is_secure).await {
            Ok(list) => {
                question.answered.add(1);
                self.set(list);
            }
            Err(error) => {
                question.failed.add(1);
                let hostname = &question.settings.hostname;
                tracing::warn!(
                    hostname,
                    error,
                    "the name has no addresses; going on with those known before"
                );
            }
        }
    }

    fn set(&self, list: Vec<(String, Url)>) {
        let servers = Servers::new(list);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if servers.list != current.list {
            self.count.set(i64::try_from(servers.len()).unwrap_or(i64::MAX));
            self.updates.add(1);
            *current = Arc::new(servers);
        }
    }
}

impl Question {
    /// Whether it is time to ask; then the next time is an interval away.
    fn is_due(&self) -> bool {
        let mut asked_at = self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = asked_at.is_none_or(|at| at.elapsed() >= self.settings.interval.duration());
        if is_due {
            *asked_at = Some(Instant::now());
        }
        is_due
    }

    async fn ask(&self, is_secure: bool) -> Result<Vec<(String, Url)>, String> {
        let Dns { hostname, port, timeout: limit, .. } = &self.settings;
        let answer = timeout(limit.duration(), self.lookup.addresses(hostname)).await;
        let addresses = match answer {
            Err(_) => return Err(format!("no answer within {limit}")),
            Ok(Err(error)) => return Err(error.to_string()),
            Ok(Ok(addresses)) if addresses.is_empty() => return Err("an empty answer".to_owned()),
            Ok(Ok(addresses)) => addresses,
        };
        addresses.iter().map(|ip| server(&name(ip.to_canonical(), *port), is_secure)).collect()
    }
}

impl Settings {
    fn refuse_others(&self) -> Result<(), BuildError> {
        if self.k8s.is_some() {
            let message = "is not supported; a headless service has a name for all its pods: use \
                           `dns: {hostname: <service>.<namespace>.svc.cluster.local}`";
            return Err(BuildError::at("resolver.k8s", message));
        }
        if self.aws_cloud_map.is_some() {
            let message = "is not supported; give the service a DNS namespace and use \
                           `dns: {hostname: <service>.<namespace>}`";
            return Err(BuildError::at("resolver.aws_cloud_map", message));
        }
        Ok(())
    }
}

impl Static {
    fn servers(&self, is_secure: bool) -> Result<Vec<(String, Url)>, BuildError> {
        const PATH: &str = "resolver.static.hostnames";
        if self.hostnames.is_empty() {
            return Err(BuildError::at(PATH, "is empty; name at least one server"));
        }
        let servers = self.hostnames.iter().map(|text| server(text, is_secure));
        servers.collect::<Result<_, _>>().map_err(|message| BuildError::at(PATH, message))
    }
}

impl Dns {
    fn check(&self) -> Result<(), BuildError> {
        let must_be_positive = |name: &str, period: Period| {
            let path = format!("resolver.dns.{name}");
            if period.is_zero() {
                Err(BuildError::at(path, "must be more than 0; write `5s`"))
            } else {
                Ok(())
            }
        };
        must_be_positive("interval", self.interval)?;
        must_be_positive("timeout", self.timeout)?;
        if self.hostname.is_empty() || self.hostname.contains([':', '/']) || self.port == Some(0) {
            let message =
                format!("`{}` is no name; write it without scheme, and the port in `port`", self.hostname);
            return Err(BuildError::at("resolver.dns.hostname", message));
        }
        Ok(())
    }
}

fn name(ip: IpAddr, port: Option<u16>) -> String {
    match (port, ip) {
        (Some(port), _) => SocketAddr::new(ip, port).to_string(),
        (None, IpAddr::V4(ip)) => ip.to_string(),
        (None, IpAddr::V6(ip)) => format!("[{ip}]"),
    }
}

/// Name and address of a server that is written as `host:port` or `host`.
fn server(text: &str, is_secure: bool) -> Result<(String, Url), String> {
    let with_port = format!("{text}:{PORT}");
    let url: Result<ServerUrl, _> = text.parse().or_else(|_| with_port.parse());
    let url = url.ok().filter(|url| url.is_secure().is_none() && url.path().is_empty());
    let url = url.and_then(|url| Url::parse(&url.with_scheme(is_secure)).ok());
    let named = url.map(|url| (text.to_owned(), url));
    named.ok_or_else(|| {
        format!("`{text}` is not `host` or `host:port`; whether TLS is spoken stands in `protocol.otlp.tls`")
    })
}
