//! Limits of a claim's database: the plan's, or less if the claim asks for less; and what its sessions leave in the server's
//! log, which is the server's admin's to say. Pure.
//!
//! The plan is an upper bound: a claim is the tenant's own to write.

use super::fetch::Fetched;
use super::validate::Validated;
use crate::api::condition::{Summary, reason};
use crate::api::database_server::TenantLog;
use crate::api::names::PhysicalName;
use crate::api::plan::{DatabaseLimits, Plan};
use crate::api::schema;
use crate::api::tenant_database::TenantDatabase;
use crate::postgres::facts::Facts;
use crate::postgres::settings::{Setting, Settings, Value};

/// Greatest number of connections to a claim's database.
pub fn connection_limit(plan: Option<&Plan>, claim: &TenantDatabase) -> Option<u32> {
    let connections = limits(plan, claim).into_iter().filter_map(|(_, limits)| limits.connections);
    connections.min().and_then(|limit| u32::try_from(limit).ok())
}

/// Every setting of the claim's database on that server. `Err` says which field cannot be read, and what to write.
pub(super) fn all(fetched: &Fetched, server: &str) -> Result<Settings, String> {
    let mut all = settings(fetched.plan.as_ref(), &fetched.claim)?;
    let server = fetched.servers.iter().find(|known| known.name == server);
    let log = server.and_then(|known| known.spec.tenant_log).unwrap_or_default();
    if log == TenantLog::Discard {
        all.insert(Setting::LogMinMessages, Value::Panic);
    }
    Ok(all)
}

/// The claim's settings but for those that our login may not set, and what is said of these: all else is done. One that
/// stands already needs nobody to set it. What keeps tenants out of the server's log is every claim's alike, and so the server's
/// to say.
pub(super) fn settable(
    claim: &Validated,
    physical: &PhysicalName,
    have: &Facts,
) -> (Settings, Option<Summary>) {
    let mut settings = claim.settings.clone();
    if claim.given.is_some() {
        return (settings, None);
    }
    let (database, admin) = (have.databases.get(physical.as_str()), &have.server.admin);
    let mut refused = vec![];
    for setting in &have.server.forbidden_settings {
        let stands = database.and_then(|database| database.settings.get(setting.name()));
        if claim.settings.get(setting).map(Value::to_string).as_ref() == stands {
            continue;
        }
        let change = settings.remove(setting).map_or("reset", |_| "set");
        if (*setting, change) != (Setting::LogMinMessages, "set") {
            let (field, name) = (field(*setting), setting.name());
            refused.push(format!(
                "{field}: the admin login {admin:?} may not {change} {name} on DatabaseServer {}, and all else is done; have a superuser \
                 run: GRANT SET ON PARAMETER {name} TO {admin:?}",
                claim.server
            ));
        }
    }
    let message = (!refused.is_empty()).then(|| refused.join("; "));
    (settings, message.map(|message| Summary::Progressing { reason: reason::PRIVILEGE_MISSING, message }))
}

/// The field that asks for a setting.
const fn field(setting: Setting) -> &'static str {
    match setting {
        Setting::IdleInTransactionTimeout => "spec.limits.idleInTransactionTimeout",
        Setting::LogMinMessages => "spec.tenantLog of the DatabaseServer",
        Setting::StatementTimeout => "spec.limits.statementTimeout",
        Setting::TempFileLimit => "spec.limits.tempFiles",
    }
}

/// What each session of a claim's database may take. `Err` says which field cannot be read, and what to write.
fn settings(plan: Option<&Plan>, claim: &TenantDatabase) -> Result<Settings, String> {
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
            let Some(value) = value.map(Value::Number) else { continue };
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
    use serde_json::json;

    use super::super::fixtures::fetched;
    use super::super::validate::validate;
    use super::*;
    use crate::postgres::facts::Database;

    type Json = serde_json::Value;

    fn plan(limits: &Json) -> Plan {
        let spec = json!({"limits": limits});
        Plan::new("small", serde_json::from_value(spec).unwrap())
    }

    fn claim(limits: &Json) -> TenantDatabase {
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
                (Setting::StatementTimeout, 30_000.into()),
                (Setting::IdleInTransactionTimeout, 90_000.into()),
                (Setting::TempFileLimit, (64 * 1024).into()),
            ]))
        );
        let modest = claim(&json!({}));
        assert_eq!(connection_limit(Some(&small), &modest), Some(5));
        assert_eq!((connection_limit(None, &modest), settings(None, &modest)), (None, Ok(Settings::new())));
    }

    #[test]
    fn what_the_admin_login_may_not_set_is_left_out_and_told_with_its_grant() {
        let limited = |limits: &Json| {
            let plan = json!({"limits": limits, "serverSelector": {"matchLabels": {"tier": "plain"}}});
            validate(&fetched(&json!({}), &plan)).unwrap()
        };
        let claim = limited(&json!({"statementTimeout": "30s", "tempFiles": "1Gi"}));
        let physical = PhysicalName::parse("t_x_app").unwrap();
        let mut have = Facts::default();
        have.server.admin = "limited".into();
        assert_eq!(settable(&claim, &physical, &have), (claim.settings.clone(), None));

        have.server.forbidden_settings = Setting::PRIVILEGED.into();
        let refused = |change: &str| Summary::Progressing {
            reason: reason::PRIVILEGE_MISSING,
            message: format!(
                "spec.limits.tempFiles: the admin login \"limited\" may not {change} temp_file_limit on DatabaseServer plain, and all else is \
                 done; have a superuser run: GRANT SET ON PARAMETER temp_file_limit TO \"limited\""
            ),
        };
        let rest = Settings::from([(Setting::StatementTimeout, 30_000.into())]);
        assert_eq!(settable(&claim, &physical, &have), (rest.clone(), Some(refused("set"))));

        // What stands already is nobody's to set any more, and what is not wanted any more nobody's to take back.
        let settings = [("temp_file_limit".to_owned(), "1048576".to_owned())].into();
        have.databases.insert("t_x_app".into(), Database { settings, ..Database::default() });
        let mut standing = claim.settings.clone();
        standing.remove(&Setting::LogMinMessages);
        assert_eq!(settable(&claim, &physical, &have), (standing, None));
        let unlimited = limited(&json!({"statementTimeout": "30s"}));
        assert_eq!(settable(&unlimited, &physical, &have), (rest, Some(refused("reset"))));
    }

    #[test]
    fn what_tenants_log_is_discarded_unless_the_servers_admin_keeps_it() {
        let mut fetched = fetched(&json!({}), &json!({}));
        let discarded = Settings::from([(Setting::LogMinMessages, Value::Panic)]);
        assert_eq!(all(&fetched, "gold"), Ok(discarded.clone()));
        fetched.servers[0].spec.tenant_log = Some(TenantLog::Keep);
        assert_eq!((all(&fetched, "gold"), all(&fetched, "plain")), (Ok(Settings::new()), Ok(discarded)));
    }

    #[test]
    fn what_is_no_limit_is_named_with_its_field() {
        let refused = |limits: Json| settings(Some(&plan(&limits)), &claim(&json!({}))).unwrap_err();
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
