//! Settings of policies → compiled policies, with every mistake named by its place.

mod composite;

use regex::RegexSet;
use watershed_config::BuildError;
use watershed_pipeline::Condition;

use super::evidence::{TESTS_MAX, Test, Wanted};
use super::limits::Limit;
use super::policy::{Compiled, Effect, Fixed, Policies, Reason, Rule};
use super::settings::{Kind, Latency, Policy, Probabilistic, SpanCount, StatusCode};

/// What the Collector puts where `hash_salt` is empty.
const DEFAULT_SALT: &str = "default-hash-seed";
/// The most policies, parts of composite policies included: each has counters of its own.
const REASONS_MAX: usize = 1000;

/// Compiles the policies, and lists their limits.
pub(super) fn compile(policies: &[Policy]) -> Result<(Policies, Vec<Limit>), BuildError> {
    if policies.is_empty() {
        return Err(BuildError::at(
            "policies",
            "is empty; add one, such as `{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}`",
        ));
    }
    let mut compiler = Compiler::new();
    for (index, policy) in policies.iter().enumerate() {
        compiler.policy(policy, &format!("policies[{index}]"))?;
    }
    let Compiler { policies, tests, limits, reasons } = compiler;
    Ok((Policies { policies, tests, reasons }, limits))
}

struct Compiler {
    policies: Vec<Compiled>,
    tests: Vec<Test>,
    limits: Vec<Limit>,
    reasons: Vec<Reason>,
}

impl Compiler {
    fn new() -> Self {
        let fixed = |name: &&str| Reason { policy: (*name).to_owned(), part: None };
        Self {
            policies: Vec::new(),
            tests: Vec::new(),
            limits: Vec::new(),
            reasons: Fixed::NAMES.iter().map(fixed).collect(),
        }
    }

    fn policy(&mut self, policy: &Policy, path: &str) -> Result<(), BuildError> {
        let name = &policy.name;
        if name.is_empty() {
            return Err(BuildError::at(format!("{path}.name"), "is empty; counters need it"));
        }
        if self.reasons.iter().any(|reason| reason.policy == *name) {
            let message = format!("`{name}` is taken; give each policy a name of its own");
            return Err(BuildError::at(format!("{path}.name"), message));
        }
        let reason = self.reason(name, None, path)?;
        let (rule, effect) = match policy.kind {
            Kind::Drop => {
                check_options(policy, path)?;
                let options = required(policy.drop.as_ref(), policy, path)?;
                let path = format!("{path}.drop.drop_sub_policy");
                (self.all(&options.drop_sub_policy, &path, reason)?, Effect::Drop)
            }
            _ if is_inverted(policy) => (self.upright(policy, path, reason)?, Effect::Inverted),
            _ => (self.rule(policy, path, reason)?, Effect::Keep),
        };
        self.policies.push(Compiled { rule, effect, reason });
        Ok(())
    }

    fn reason(&mut self, policy: &str, part: Option<&str>, path: &str) -> Result<u16, BuildError> {
        let number = self.reasons.len();
        if number >= REASONS_MAX {
            return Err(BuildError::at(
                path,
                format!("is one of more than {REASONS_MAX} policies; remove some"),
            ));
        }
        self.reasons.push(Reason { policy: policy.to_owned(), part: part.map(str::to_owned) });
        Ok(u16::try_from(number).unwrap_or_default())
    }

    /// What a policy says, an inversion included.
    fn rule(&mut self, policy: &Policy, path: &str, reason: u16) -> Result<Rule, BuildError> {
        let rule = self.upright(policy, path, reason)?;
        Ok(if is_inverted(policy) { Rule::Not(Box::new(rule)) } else { rule })
    }

    /// What a policy would say without `invert_match`.
    fn upright(&mut self, policy: &Policy, path: &str, reason: u16) -> Result<Rule, BuildError> {
        check_options(policy, path)?;
        let own = format!("{path}.{}", policy.kind.name());
        Ok(match policy.kind {
            Kind::AlwaysSample => Rule::Always,
            Kind::Latency => latency(required(policy.latency.as_ref(), policy, path)?, &own)?,
            Kind::SpanCount => span_count(required(policy.span_count.as_ref(), policy, path)?, &own)?,
            Kind::Probabilistic => chance(required(policy.probabilistic.as_ref(), policy, path)?),
            Kind::RateLimiting => {
                let options = required(policy.rate_limiting.as_ref(), policy, path)?;
                Rule::SpanRate(self.limit(Limit::window(options.spans_per_second)))
            }
            Kind::BytesLimiting => {
                let options = required(policy.bytes_limiting.as_ref(), policy, path)?;
                let rate = options.bytes_per_second;
                let brim = options.burst_capacity.unwrap_or(rate.saturating_mul(2));
                Rule::ByteRate(self.limit(Limit::bucket(rate, brim)))
            }
            Kind::And => {
                let options = required(policy.and.as_ref(), policy, path)?;
                self.all(&options.and_sub_policy, &format!("{own}.and_sub_policy"), reason)?
            }
            Kind::Not => {
                let options = required(policy.not.as_ref(), policy, path)?;
                let rule = self.rule(&options.not_sub_policy, &format!("{own}.not_sub_policy"), reason)?;
                Rule::Not(Box::new(rule))
            }
            Kind::Composite => {
                let options = required(policy.composite.as_ref(), policy, path)?;
                self.composite(options, &policy.name, &own)?
            }
            Kind::Drop => {
                let message = "a `drop` policy can't be part of another; use `not` there";
                return Err(BuildError::at(format!("{path}.type"), message));
            }
            _ => {
                let test = test(policy, path, &own)?;
                Rule::Seen(self.test(test, path)?)
            }
        })
    }

    fn limit(&mut self, limit: Limit) -> usize {
        self.limits.push(limit);
        self.limits.len() - 1
    }

    fn test(&mut self, test: Test, path: &str) -> Result<usize, BuildError> {
        if self.tests.len() >= TESTS_MAX {
            let message = format!("is one of more than {TESTS_MAX} policies that look at spans; remove some");
            return Err(BuildError::at(path, message));
        }
        self.tests.push(test);
        Ok(self.tests.len() - 1)
    }

    fn all(&mut self, policies: &[Policy], path: &str, reason: u16) -> Result<Rule, BuildError> {
        if policies.is_empty() {
            return Err(BuildError::at(path, "is empty; list the policies that must all match"));
        }
        let mut rules = Vec::with_capacity(policies.len());
        for (index, policy) in policies.iter().enumerate() {
            rules.push(self.rule(policy, &format!("{path}[{index}]"), reason)?);
        }
        rules.sort_by_key(Rule::is_limited);
        Ok(Rule::All(rules))
    }
}

fn latency(options: &Latency, path: &str) -> Result<Rule, BuildError> {
    let up_to = Some(options.upper_threshold_ms).filter(|upper| *upper > 0);
    if let Some(upper) = up_to.filter(|upper| *upper <= options.threshold_ms) {
        let message = format!("{upper} is not above `threshold_ms`, so that no trace matches; raise it");
        return Err(BuildError::at(format!("{path}.upper_threshold_ms"), message));
    }
    Ok(Rule::Latency { from: options.threshold_ms, up_to })
}

fn span_count(options: &SpanCount, path: &str) -> Result<Rule, BuildError> {
    let max = Some(options.max_spans).filter(|max| *max > 0);
    if let Some(max) = max.filter(|max| *max < options.min_spans) {
        let message = format!("{max} is less than `min_spans`, so that no trace matches; raise it");
        return Err(BuildError::at(format!("{path}.max_spans"), message));
    }
    Ok(Rule::Spans { min: options.min_spans, max })
}

fn chance(options: &Probabilistic) -> Rule {
    let salt = if options.hash_salt.is_empty() { DEFAULT_SALT } else { &options.hash_salt };
    let fraction = options.sampling_percentage.fraction();
    // As in the Collector: the largest hash times the fraction.
    let threshold = (fraction * u64::MAX as f64) as u64;
    Rule::Chance { salt: salt.as_bytes().to_vec(), threshold, fraction }
}

fn test(policy: &Policy, path: &str, own: &str) -> Result<Test, BuildError> {
    let attribute = |key: &str, wanted: Wanted| {
        let is_empty = key.is_empty();
        let mistake = || BuildError::at(format!("{own}.key"), "is empty; name the attribute");
        if is_empty { Err(mistake()) } else { Ok(Test::Attribute { key: key.to_owned(), wanted }) }
    };
    match policy.kind {
        Kind::StatusCode => {
            let options = required(policy.status_code.as_ref(), policy, path)?;
            filled(options.status_codes.is_empty(), &format!("{own}.status_codes"))?;
            let number = |code: &StatusCode| match code {
                StatusCode::Unset => 0,
                StatusCode::Ok => 1,
                StatusCode::Error => 2,
            };
            Ok(Test::Status(options.status_codes.iter().map(number).collect()))
        }
        Kind::NumericAttribute => {
            let options = required(policy.numeric_attribute.as_ref(), policy, path)?;
            let (min, max) = (options.min_value, options.max_value);
            if let (Some(min), Some(max)) = (min, max)
                && max < min
            {
                let message =
                    format!("{max} is less than `min_value`, which is {min}, so that nothing matches");
                return Err(BuildError::at(format!("{own}.max_value"), message));
            }
            attribute(&options.key, Wanted::Number { min, max })
        }
        Kind::StringAttribute => {
            let options = required(policy.string_attribute.as_ref(), policy, path)?;
            filled(options.values.is_empty(), &format!("{own}.values"))?;
            let wanted = if options.enabled_regex_matching {
                let mistake =
                    |error: regex::Error| BuildError::at(format!("{own}.values"), error.to_string());
                Wanted::Pattern(RegexSet::new(&options.values).map_err(mistake)?)
            } else {
                Wanted::Text(options.values.clone())
            };
            attribute(&options.key, wanted)
        }
        Kind::BooleanAttribute => {
            let options = required(policy.boolean_attribute.as_ref(), policy, path)?;
            attribute(&options.key, Wanted::Bool(options.value))
        }
        Kind::TraceState => {
            let options = required(policy.trace_state.as_ref(), policy, path)?;
            filled(options.values.is_empty(), &format!("{own}.values"))?;
            Ok(Test::TraceState { key: options.key.clone(), values: options.values.clone() })
        }
        Kind::OttlCondition => {
            let options = required(policy.ottl_condition.as_ref(), policy, path)?;
            let spans = options.span.iter().cloned().map(Condition::from);
            let events = options.spanevent.iter().cloned().map(Condition::from);
            let conditions: Vec<Condition> = spans.chain(events).collect();
            filled(conditions.is_empty(), &format!("{own}.span"))?;
            Ok(Test::Conditions(conditions))
        }
        _ => Ok(Test::Sampled),
    }
}

fn filled(is_empty: bool, path: &str) -> Result<(), BuildError> {
    if is_empty {
        Err(BuildError::at(path, "is empty, so that nothing matches; add a value"))
    } else {
        Ok(())
    }
}

fn required<'o, T>(options: Option<&'o T>, policy: &Policy, path: &str) -> Result<&'o T, BuildError> {
    options.ok_or_else(|| {
        let name = policy.kind.name();
        BuildError::at(path, format!("has the type `{name}` and no options; add `{name}:`"))
    })
}

fn is_inverted(policy: &Policy) -> bool {
    match policy.kind {
        Kind::NumericAttribute => {
            policy.numeric_attribute.as_ref().is_some_and(|options| options.invert_match)
        }
        Kind::StringAttribute => policy.string_attribute.as_ref().is_some_and(|options| options.invert_match),
        Kind::BooleanAttribute => {
            policy.boolean_attribute.as_ref().is_some_and(|options| options.invert_match)
        }
        _ => false,
    }
}

/// Options of another type than the policy's are a mistake that would otherwise show only in what is kept.
fn check_options(policy: &Policy, path: &str) -> Result<(), BuildError> {
    let stray = policy.options().into_iter().find(|(kind, is_there)| *is_there && *kind != policy.kind);
    stray.map_or(Ok(()), |(kind, _)| {
        let (kind, own) = (kind.name(), policy.kind.name());
        let message =
            format!("are options of another type than `{own}`; remove them, or write `type: {kind}`");
        Err(BuildError::at(format!("{path}.{kind}"), message))
    })
}
