//! A bench for the engine: receivers, processors and exporters in memory, scripted and observed by the test.

use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use watershed_config::{BuildError, ByteSize, Document, Period, Source, Sources, load};
use watershed_pipeline::*;

/// What a script answers to an attempt to export.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<(), ExportError>> + Send>>;
type Script = Box<dyn Fn(Attempt) -> Answer + Send + Sync>;
type Observer = Arc<dyn Fn(&Batch) + Send + Sync>;
type Sent = (Batch, oneshot::Sender<Result<(), Refusal>>);

/// One attempt as an exporter saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Attempt {
    /// Counted from zero.
    pub(crate) number: usize,
    /// The numbers of the records.
    pub(crate) items: Vec<i64>,
    /// Milliseconds since the start of the test.
    pub(crate) at: u128,
}

/// What the components of one test share.
pub(crate) struct Bench {
    began: tokio::time::Instant,
    log: Mutex<Vec<String>>,
    senders: Mutex<HashMap<String, mpsc::Sender<Sent>>>,
    scripts: Mutex<HashMap<String, Arc<Script>>>,
    attempts: Mutex<HashMap<String, Vec<Attempt>>>,
    delivered: Mutex<HashMap<String, Vec<i64>>>,
    instances: Mutex<usize>,
    observers: Mutex<HashMap<String, Observer>>,
    pub(crate) telemetry: Telemetry,
}

impl Bench {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: tokio::time::Instant::now(),
            log: Mutex::default(),
            senders: Mutex::default(),
            scripts: Mutex::default(),
            attempts: Mutex::default(),
            delivered: Mutex::default(),
            instances: Mutex::default(),
            observers: Mutex::default(),
            telemetry: Telemetry::new(),
        })
    }

    /// Builds the graph of a document.
    pub(crate) fn build(self: &Arc<Self>, text: &str) -> Result<Graph, watershed_config::ConfigErrors> {
        Graph::build(&document(text), &registry(), &self.environment())
    }

    /// Builds the graph of a document with a place for its queues.
    #[track_caller]
    pub(crate) fn graph_with_storage(self: &Arc<Self>, text: &str, storage: &Path) -> Graph {
        let mut environment = self.environment();
        environment.storage = Some(storage.to_owned());
        let graph = Graph::build(&document(text), &registry(), &environment);
        graph.unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[track_caller]
    pub(crate) fn graph(self: &Arc<Self>, text: &str) -> Graph {
        self.build(text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    pub(crate) fn environment(self: &Arc<Self>) -> Environment {
        let mut shared = Shared::default();
        shared.insert(Arc::clone(self));
        let mut environment =
            Environment::new(self.telemetry.clone(), Budget::new(1 << 30, 1 << 30), Arc::new(shared));
        environment.lanes = NonZeroUsize::new(4).unwrap();
        environment.shutdown_timeout = Duration::from_secs(10);
        environment.seed = 7;
        environment
    }

    /// Decides how an exporter answers from now on.
    pub(crate) fn script(&self, exporter: &str, script: impl Fn(Attempt) -> Answer + Send + Sync + 'static) {
        self.scripts.lock().unwrap().insert(exporter.to_owned(), Arc::new(Box::new(script)));
    }

    /// Sees every batch that an exporter is to send.
    pub(crate) fn observe(&self, exporter: &str, observer: impl Fn(&Batch) + Send + Sync + 'static) {
        self.observers.lock().unwrap().insert(exporter.to_owned(), Arc::new(observer));
    }

    /// Gives a batch to a receiver, and waits for the answer that its client would get.
    pub(crate) async fn send(&self, receiver: &str, batch: Batch) -> Result<(), Refusal> {
        let (tx, rx) = oneshot::channel();
        let sender = self.senders.lock().unwrap().get(receiver).cloned().unwrap();
        let closed = || Refusal::Retry { reason: "closed".into(), after: None };
        sender.send((batch, tx)).await.map_err(|_| closed())?;
        rx.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(crate) fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn attempts(&self, exporter: &str) -> Vec<Attempt> {
        self.attempts.lock().unwrap().get(exporter).cloned().unwrap_or_default()
    }

    /// The records that an exporter took, in order of their numbers.
    pub(crate) fn delivered(&self, exporter: &str) -> Vec<i64> {
        let mut items = self.delivered.lock().unwrap().get(exporter).cloned().unwrap_or_default();
        items.sort_unstable();
        items
    }

    /// The sum of a metric over the series whose labels contain these.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> i128 {
        let has = |sample: &Sample| {
            labels.iter().all(|(key, value)| sample.labels.iter().any(|(own, is)| own == key && is == value))
        };
        let samples = self.telemetry.samples().into_iter();
        samples.filter(|sample| sample.name == name && has(sample)).map(|sample| sample.value).sum()
    }

    /// What is dropped at an exporter for a reason.
    pub(crate) fn dropped(&self, exporter: &str, reason: &str) -> i128 {
        self.count("otelcol_exporter_dropped_log_records", &[("exporter", exporter), ("reason", reason)])
    }
}

/// Reads a document whose structure is right.
#[track_caller]
pub(crate) fn document(text: &str) -> Document {
    let sources = Sources { files: vec![Source::text("test.yaml", text)], set: vec![] };
    load(&sources, &|_| None).unwrap_or_else(|errors| panic!("{errors}")).document
}

/// Log records with these numbers as bodies.
pub(crate) fn logs(numbers: impl IntoIterator<Item = i64>) -> Batch {
    let mut builder = Batch::builder(Signal::Logs);
    numbers.into_iter().for_each(|number| builder.push(|log| log.set_body(number)));
    builder.build()
}

/// The numbers of log records.
pub(crate) fn numbers(batch: &Batch) -> Vec<i64> {
    batch.logs().filter_map(number).collect()
}

fn number(log: LogRecord<'_>) -> Option<i64> {
    log.body()?.as_int()
}

/// An answer that comes at once.
pub(crate) fn answer(result: Result<(), ExportError>) -> Answer {
    Box::pin(std::future::ready(result))
}

pub(crate) fn retry(after: Option<Duration>) -> ExportError {
    ExportError::Retry { reason: "far end is busy".into(), after }
}

/// Lets every task that can go on do so, without moving time.
pub(crate) async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

/// Runs a graph beside the test; the sender of the pair stops it.
pub(crate) fn start(
    graph: Graph,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<Summary, EngineError>>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    (stop, tokio::spawn(run(graph, stopped, |_| ())))
}

pub(crate) fn registry() -> Registry {
    Registry::new(
        &[receiver::<Input>()],
        &[
            processor::<Pass>(),
            processor::<Hold>(),
            processor::<Gather>(),
            processor::<Keyed>(),
            processor::<Derive>(),
            processor::<Trouble>(),
            processor::<Listed>(),
        ],
        &[exporter::<Local>(), exporter::<Far>()],
    )
}

fn bench(cx: &Context) -> Result<Arc<Bench>, BuildError> {
    cx.shared::<Bench>().ok_or_else(|| BuildError::new("no bench"))
}

/// A receiver that the test feeds.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub(crate) struct Input {
    port: u16,
    bind_error: bool,
    run_error: bool,
    hangs: bool,
    /// Comes to an end by itself, after one batch.
    finite: bool,
    /// Settings that exclude each other, for errors of `build`.
    impossible: bool,
}

pub(crate) struct RunningInput {
    id: String,
    config: Input,
    bench: Arc<Bench>,
    input: mpsc::Receiver<Sent>,
}

impl ReceiverConfig for Input {
    const TYPE: &'static str = "input";
    const SOURCE: &'static str = "";
    type Receiver = RunningInput;

    fn build(&self, cx: &Context) -> Result<RunningInput, BuildError> {
        if self.impossible {
            return Err(BuildError::at("impossible", "can't be"));
        }
        let (tx, input) = mpsc::channel(1000);
        let (id, bench) = (cx.id().to_string(), bench(cx)?);
        bench.senders.lock().unwrap().insert(id.clone(), tx);
        Ok(RunningInput { id, config: self.clone(), bench, input })
    }
}

#[async_trait]
impl Receiver for RunningInput {
    async fn bind(&mut self) -> Result<(), StartError> {
        self.bench.note(format!("bind {}", self.id));
        if self.config.bind_error { Err(StartError::Other("port is taken".into())) } else { Ok(()) }
    }

    fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        vec![("test", (Ipv4Addr::LOCALHOST, self.config.port).into())]
    }

    fn is_finite(&self) -> bool {
        self.config.finite
    }

    async fn run(mut self: Box<Self>, outlet: Outlet, mut shutdown: Shutdown) -> Result<(), RunError> {
        self.bench.note(format!("run {}", self.id));
        if self.config.run_error {
            return Err(RunError("lost its socket".into()));
        }
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = shutdown.requested() => break,
                next = self.input.recv() => {
                    let Some((batch, client)) = next else { break };
                    open.spawn(serve(outlet.clone(), batch, client));
                    if self.config.finite {
                        break;
                    }
                }
            }
        }
        if self.config.hangs {
            std::future::pending::<()>().await;
        }
        while open.join_next().await.is_some() {}
        self.bench.note(format!("end {}", self.id));
        Ok(())
    }
}

/// Sends a batch and answers; if the client hangs up, the send is cut short as a server would do it.
async fn serve(outlet: Outlet, batch: Batch, mut client: oneshot::Sender<Result<(), Refusal>>) {
    tokio::select! {
        biased;
        answer = outlet.send(batch) => drop(client.send(answer)),
        () = client.closed() => {}
    }
}

/// An exporter that answers as scripted, and writes down what it took.
pub(crate) struct Output {
    id: String,
    bench: Arc<Bench>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Local {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Far {}

impl ExporterConfig for Local {
    const TYPE: &'static str = "local";
    const SOURCE: &'static str = "";
    const REACH: Reach = Reach::Local;
    type Exporter = Output;

    fn build(&self, cx: &Context) -> Result<Output, BuildError> {
        Ok(Output { id: cx.id().to_string(), bench: bench(cx)? })
    }
}

impl ExporterConfig for Far {
    const TYPE: &'static str = "far";
    const ALIASES: &'static [&'static str] = &["far_away"];
    const SOURCE: &'static str = "";
    const REACH: Reach = Reach::Network { timeout: Duration::from_secs(5) };
    type Exporter = Output;

    fn build(&self, cx: &Context) -> Result<Output, BuildError> {
        Ok(Output { id: cx.id().to_string(), bench: bench(cx)? })
    }
}

#[async_trait]
impl Exporter for Output {
    async fn start(&self) -> Result<(), StartError> {
        self.bench.note(format!("start {}", self.id));
        Ok(())
    }

    async fn export(&self, batch: &Batch) -> Result<(), ExportError> {
        let attempt = {
            let mut attempts = self.bench.attempts.lock().unwrap();
            let own = attempts.entry(self.id.clone()).or_default();
            let at = self.bench.began.elapsed().as_millis();
            own.push(Attempt { number: own.len(), items: numbers(batch), at });
            own.last().unwrap().clone()
        };
        let observer = self.bench.observers.lock().unwrap().get(&self.id).cloned();
        if let Some(observer) = observer {
            observer(batch);
        }
        let script = self.bench.scripts.lock().unwrap().get(&self.id).cloned();
        let items = numbers(batch);
        if let Some(script) = script {
            script(attempt).await?;
        }
        self.bench.delivered.lock().unwrap().entry(self.id.clone()).or_default().extend(items);
        Ok(())
    }

    async fn flush(&self) -> Result<(), ExportError> {
        if self.bench.notes().iter().any(|note| note.starts_with("end ")) {
            self.bench.note(format!("flush {}", self.id));
        }
        Ok(())
    }
}

/// Passes everything on, in one instance for all lanes if `global`.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Pass {
    global: bool,
    /// Passes on only even numbers.
    even: bool,
}

pub(crate) struct RunningPass {
    even: bool,
}

impl ProcessorConfig for Pass {
    const TYPE: &'static str = "pass";
    const SOURCE: &'static str = "";
    type Processor = RunningPass;

    fn build(&self, _: &Context) -> Result<RunningPass, BuildError> {
        Ok(RunningPass { even: self.even })
    }

    fn state(&self) -> State {
        if self.global { State::Global } else { State::None }
    }
}

impl Processor for RunningPass {
    fn process(&mut self, mut batch: Batch, _: Instant, out: &mut Out) {
        if self.even {
            batch.retain(|record| record.log().and_then(number).unwrap_or(1) % 2 == 0);
        }
        out.push(batch);
    }
}

/// Passes on only the numbers that a file lists, one a line.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    file: std::path::PathBuf,
}

pub(crate) struct RunningListed(Watched<Vec<i64>>);

impl ProcessorConfig for Listed {
    const TYPE: &'static str = "listed";
    const SOURCE: &'static str = "";
    type Processor = RunningListed;

    fn build(&self, cx: &Context) -> Result<RunningListed, BuildError> {
        let parse = |text: &str| {
            let numbers = text.lines().map(|line| line.parse::<i64>().map_err(|error| error.to_string()));
            numbers.collect()
        };
        let listed = cx.watch_file(&self.file, ByteSize::new(100), parse);
        listed.map(RunningListed).map_err(|error| BuildError::at("file", error))
    }
}

impl Processor for RunningListed {
    fn process(&mut self, mut batch: Batch, _: Instant, out: &mut Out) {
        let listed = self.0.get();
        batch.retain(|record| record.log().and_then(number).is_some_and(|number| listed.contains(&number)));
        out.push(batch);
    }
}

/// Holds every batch for a time.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    period: Period,
    #[serde(default)]
    custody: bool,
}

pub(crate) struct RunningHold {
    period: Duration,
    custody: bool,
    held: Vec<(Instant, Batch)>,
}

impl ProcessorConfig for Hold {
    const TYPE: &'static str = "hold";
    const SOURCE: &'static str = "";
    type Processor = RunningHold;

    fn build(&self, _: &Context) -> Result<RunningHold, BuildError> {
        Ok(RunningHold { period: self.period.duration(), custody: self.custody, held: Vec::new() })
    }
}

impl Processor for RunningHold {
    fn process(&mut self, mut batch: Batch, now: Instant, _: &mut Out) {
        if self.custody {
            batch.take_custody();
        }
        self.held.push((now + self.period, batch));
    }

    fn deadline(&self) -> Option<Instant> {
        self.held.iter().map(|(due, _)| *due).min()
    }

    fn tick(&mut self, now: Instant, out: &mut Out) {
        let (due, held) = std::mem::take(&mut self.held).into_iter().partition(|(due, _)| *due <= now);
        self.held = held;
        due.into_iter().for_each(|(_, batch): (Instant, Batch)| out.push(batch));
    }

    fn drain(&mut self, _: Instant, out: &mut Out) {
        self.held.drain(..).for_each(|(_, batch)| out.push(batch));
    }

    fn held(&self) -> usize {
        self.held.iter().map(|(_, batch)| batch.len()).sum()
    }
}

/// Notes which instance sees which key, the key being the number modulo ten.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keyed {}

pub(crate) struct RunningKeyed {
    bench: Arc<Bench>,
    instance: usize,
}

fn key(record: &Record<'_>) -> u64 {
    let number = record.log().and_then(number).unwrap_or_default();
    u64::try_from(number % 10).unwrap()
}

impl ProcessorConfig for Keyed {
    const TYPE: &'static str = "keyed";
    const SOURCE: &'static str = "";
    type Processor = RunningKeyed;

    fn build(&self, cx: &Context) -> Result<RunningKeyed, BuildError> {
        let bench = bench(cx)?;
        let mut instances = bench.instances.lock().unwrap();
        *instances += 1;
        Ok(RunningKeyed { instance: *instances, bench: Arc::clone(&bench) })
    }

    fn state(&self) -> State {
        State::Keyed(Arc::new(key))
    }
}

impl Processor for RunningKeyed {
    fn process(&mut self, batch: Batch, _: Instant, out: &mut Out) {
        batch
            .records()
            .for_each(|record| self.bench.note(format!("key {} instance {}", key(&record), self.instance)));
        out.push(batch);
    }
}

/// Holds records until there are three of their key (the number modulo ten); later ones of the key pass at once. At a
/// stop it hands over what it holds, and which keys are complete.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gather {}

#[derive(Default)]
pub(crate) struct RunningGather {
    held: HashMap<i64, Vec<i64>>,
    complete: Vec<i64>,
}

impl ProcessorConfig for Gather {
    const TYPE: &'static str = "gather";
    const SOURCE: &'static str = "";
    const LOSSY: bool = true;
    type Processor = RunningGather;

    fn build(&self, _: &Context) -> Result<RunningGather, BuildError> {
        Ok(RunningGather::default())
    }

    fn state(&self) -> State {
        State::Keyed(Arc::new(key))
    }
}

impl Processor for RunningGather {
    fn process(&mut self, batch: Batch, _: Instant, out: &mut Out) {
        for number in numbers(&batch) {
            let key = number % 10;
            if self.complete.contains(&key) {
                out.push(logs([number]));
                continue;
            }
            let held = self.held.entry(key).or_default();
            held.push(number);
            if held.len() == 3 {
                out.push(logs(self.held.remove(&key).unwrap()));
                self.complete.push(key);
            }
        }
    }

    fn drain(&mut self, _: Instant, out: &mut Out) {
        self.held.drain().for_each(|(_, numbers)| out.push(logs(numbers)));
    }

    fn held(&self) -> usize {
        self.held.values().map(Vec::len).sum()
    }

    fn suspend(&mut self, kept: &mut Suspended) {
        self.held.drain().for_each(|(_, numbers)| kept.hold(&logs(numbers)));
        kept.remember(self.complete.iter().map(|key| u8::try_from(*key).unwrap()).collect());
    }

    fn resume(&mut self, memory: &[u8]) {
        self.complete.extend(memory.iter().map(|key| i64::from(*key)));
    }
}

/// Passes everything on, and derives one record per batch: its length.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Derive {}

impl ProcessorConfig for Derive {
    const TYPE: &'static str = "derive";
    const SOURCE: &'static str = "";
    type Processor = Self;

    fn build(&self, _: &Context) -> Result<Self, BuildError> {
        Ok(Self {})
    }
}

impl Processor for Derive {
    fn process(&mut self, batch: Batch, _: Instant, out: &mut Out) {
        out.derive(logs([i64::try_from(batch.len()).unwrap()]));
        out.push(batch);
    }
}

/// Refuses every batch, or panics.
#[derive(Deserialize, JsonSchema, Clone, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Trouble {
    panics: bool,
}

impl ProcessorConfig for Trouble {
    const TYPE: &'static str = "trouble";
    const SOURCE: &'static str = "";
    type Processor = Self;

    fn build(&self, _: &Context) -> Result<Self, BuildError> {
        Ok(self.clone())
    }
}

impl Processor for Trouble {
    fn process(&mut self, _: Batch, _: Instant, out: &mut Out) {
        assert!(!self.panics, "the sky falls");
        out.refuse(Refusal::Retry { reason: "no room".into(), after: None });
    }
}
