//! Policies made of parts, each with a share of a rate.

use std::collections::BTreeMap;

use watershed_config::BuildError;

use super::Compiler;
use crate::tail_sampling::limits::Limit;
use crate::tail_sampling::policy::{Rule, Share};
use crate::tail_sampling::settings::CompositePolicy;

impl Compiler {
    pub(super) fn composite(
        &mut self,
        options: &CompositePolicy,
        policy: &str,
        path: &str,
    ) -> Result<Rule, BuildError> {
        let parts = &options.composite_sub_policy;
        let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        check_names(options, &names, path)?;
        let rates = rates(options, &names, path)?;
        let mut shares = Vec::with_capacity(parts.len());
        for (index, part) in parts.iter().enumerate() {
            let path = format!("{path}.composite_sub_policy[{index}]");
            let reason = self.reason(policy, Some(&part.name), &path)?;
            let rule = self.rule(part, &path, reason)?;
            let rate = rates.get(part.name.as_str()).copied().unwrap_or_default();
            shares.push((part.name.as_str(), Share { rule, limit: self.limit(Limit::window(rate)), reason }));
        }
        let place = |name: &str| options.policy_order.iter().position(|ordered| ordered == name);
        shares.sort_by_key(|(name, _)| place(name));
        Ok(Rule::Composite(shares.into_iter().map(|(_, share)| share).collect()))
    }
}

/// Checks that names within a composite policy are there once, and mean something.
fn check_names(options: &CompositePolicy, names: &[&str], path: &str) -> Result<(), BuildError> {
    if names.is_empty() {
        return Err(BuildError::at(format!("{path}.composite_sub_policy"), "is empty; list the parts"));
    }
    if let Some((index, name)) =
        names.iter().enumerate().find(|(index, name)| names.iter().take(*index).any(|other| other == *name))
    {
        let path = format!("{path}.composite_sub_policy[{index}].name");
        return Err(BuildError::at(path, format!("`{name}` is there twice")));
    }
    let order = &options.policy_order;
    let ordered =
        order.iter().enumerate().map(|(index, name)| (format!("{path}.policy_order[{index}]"), name));
    let allocated = options.rate_allocation.iter().enumerate();
    let allocated =
        allocated.map(|(index, rate)| (format!("{path}.rate_allocation[{index}].policy"), &rate.policy));
    if let Some((path, name)) = ordered.chain(allocated).find(|(_, name)| !names.contains(&name.as_str())) {
        return Err(BuildError::at(path, format!("`{name}` is no part; there is `{}`", names.join("`, `"))));
    }
    let missing = names.iter().find(|name| !order.is_empty() && !order.iter().any(|other| other == *name));
    missing.map_or(Ok(()), |name| {
        let message = format!("lacks `{name}`; name every part, or leave the order out");
        Err(BuildError::at(format!("{path}.policy_order"), message))
    })
}

/// Spans a second for each part. What is allocated to nobody is divided equally among those without an allocation.
fn rates<'n>(
    options: &CompositePolicy,
    names: &[&'n str],
    path: &str,
) -> Result<BTreeMap<&'n str, u64>, BuildError> {
    let total = options.max_total_spans_per_second;
    let percent = |name: &str| {
        let found = options.rate_allocation.iter().find(|rate| rate.policy == name);
        found.map(|rate| rate.percent.percent()).filter(|percent| *percent > 0.0)
    };
    let allocated: f64 = names.iter().filter_map(|name| percent(name)).sum();
    if allocated > 100.0 {
        let message = format!("adds up to {allocated} per cent; 100 is all there is");
        return Err(BuildError::at(format!("{path}.rate_allocation"), message));
    }
    let of_percent = |percent: f64| (percent / 100.0 * total as f64) as u64;
    let others = names.iter().filter(|name| percent(name).is_none()).count() as u64;
    let rest = total - names.iter().filter_map(|name| percent(name)).map(of_percent).sum::<u64>().min(total);
    let rate = |name: &str| percent(name).map_or_else(|| rest / others.max(1), of_percent);
    Ok(names.iter().map(|name| (*name, rate(name))).collect())
}
