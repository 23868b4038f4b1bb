//! Limits of a claim's database: the plan's, or less if the claim asks for less. Pure.
//!
//! The plan is an upper bound: a claim is the tenant's own to write.

use crate::api::plan::{DatabaseLimits, Plan};
use crate::api::schema;
use crate::api::tenant_database::TenantDatabase;
use crate::postgres::settings::{Setting, Settings};

/// Greatest number of connections to a claim's database.
pub fn connection_limit(plan: Option<&Plan>, claim: &TenantDatabase) -> Option<u32> {
    let connections = limits(plan, claim).into_iter().filter_map(|(_, limits)| limits.connections);
    connections.min().and_then(|limit| u32::try_from(limit).ok())
}

/// What each session of a claim's database may take. `Err` says which field cannot be read, and what to write.
pub(super) fn settings(plan: Option<&Plan>, claim: &TenantDatabase) -> Result<Settings, String> {
    let mut settings = Settings::new();
    for (whose, limits) in limits(plan, claim) {
        let values = [
            (
                Setting::StatementTimeout,
                timeout(&whose, "statementTimeout", limits.statement_timeout.as_deref())?,
            ),
            (
                Setting::IdleInTransactionTimeout,
                timeout(&whose, "idleInTransactionTimeout", limits.idle_in_transaction_timeout.as_deref())?,
            ),
            (Setting::TempFileLimit, size(&whose, "tempFiles", limits.temp_files.as_deref())?),
        ];
        for (setting, value) in values {
            let Some(value) = value else { continue };
            settings.entry(setting).and_modify(|least| *least = value.min(*least)).or_insert(value);
        }
    }
    Ok(settings)
}

/// Both limits, with what a message puts before the field.
fn limits<'a>(plan: Option<&'a Plan>, claim: &'a TenantDatabase) -> Vec<(String, &'a DatabaseLimits)> {
    let of_plan = plan.and_then(|plan| {
        let name = plan.metadata.name.as_deref().unwrap_or_default();
        Some((format!("plan {name}: "), plan.spec.limits.as_ref()?))
    });
    of_plan.into_iter().chain(claim.spec.limits.as_ref().map(|limits| (String::new(), limits))).collect()
}

fn timeout(whose: &str, field: &str, text: Option<&str>) -> Result<Option<u32>, String> {
    let Some(text) = text else { return Ok(None) };
    let length = schema::length(text).filter(|length| (1..=576 * 3600).contains(&length.as_secs()));
    length.and_then(|length| u32::try_from(length.as_millis()).ok()).map(Some).ok_or_else(|| {
        format!("{whose}spec.limits.{field}: {text:?} is no duration from 1s to 576h: write 30s, 5m or 1h30m")
    })
}

fn size(whose: &str, field: &str, text: Option<&str>) -> Result<Option<u32>, String> {
    let Some(text) = text else { return Ok(None) };
    schema::kibibytes(text).map(Some).ok_or_else(|| {
        format!("{whose}spec.limits.{field}: {text:?} is no size of at most 1Ti: write 512Mi or 1Gi")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plan(limits: &Value) -> Plan {
        let spec = json!({"limits": limits});
        Plan::new("small", serde_json::from_value(spec).unwrap())
    }

    fn claim(limits: &Value) -> TenantDatabase {
        let spec = json!({"limits": limits});
        TenantDatabase::new("app", serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn the_plan_is_an_upper_bound_of_each_limit() {
        let small = plan(&json!({"connections": 5, "statementTimeout": "30s", "tempFiles": "1Gi"}));
        let asking = claim(&json!({
            "connections": 9, "statementTimeout": "1m", "idleInTransactionTimeout": "1m30s", "tempFiles": "64Mi",
        }));
        assert_eq!(connection_limit(Some(&small), &asking), Some(5));
        assert_eq!(connection_limit(None, &asking), Some(9));
        assert_eq!(
            settings(Some(&small), &asking),
            Ok(Settings::from([
                (Setting::StatementTimeout, 30_000),
                (Setting::IdleInTransactionTimeout, 90_000),
                (Setting::TempFileLimit, 64 * 1024),
            ]))
        );
        let modest = claim(&json!({}));
        assert_eq!(connection_limit(Some(&small), &modest), Some(5));
        assert_eq!((connection_limit(None, &modest), settings(None, &modest)), (None, Ok(Settings::new())));
    }

    #[test]
    fn what_is_no_limit_is_named_with_its_field() {
        let refused = |limits: Value| settings(Some(&plan(&limits)), &claim(&json!({}))).unwrap_err();
        for text in ["0s", "577h", "h", "5", "99999999h"] {
            assert_eq!(
                refused(json!({"statementTimeout": text})),
                format!(
                    "plan small: spec.limits.statementTimeout: {text:?} is no duration from 1s to 576h: write 30s, 5m or 1h30m"
                )
            );
        }
        for text in ["0Gi", "1.5Gi", "2Ti", "1G", "18446744073709551615Ti"] {
            let refused = settings(None, &claim(&json!({"tempFiles": text})));
            let expected =
                format!("spec.limits.tempFiles: {text:?} is no size of at most 1Ti: write 512Mi or 1Gi");
            assert_eq!(refused, Err(expected));
        }
    }
}
