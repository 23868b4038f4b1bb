//! What a server refuses for want of something is told with the place of the statement and what would help, asked for
//! seldom, and forgotten when it is there.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tenantry::controller::object::{Key, Kind};

use super::claims::binding;
use super::scene::{A_MINUTE, condition};
use super::shop;
use super::site::{Site, Stage};
use super::suspension::limit_admin;
use crate::support::{Operator, wait_until};

/// The first wait after a failure; each next one is twice as long.
const FIRST_BACKOFF: Duration = Duration::from_millis(500);

/// Turns of claims that failed until now.
fn failed(operator: &Operator) -> u64 {
    operator.sample("controller_runtime_reconcile_total{controller=\"TenantDatabase\",result=\"requeue\"}")
}

/// No claim is tried more often than waits of 0.5, 1, 2 … seconds allow, and a few times because something has changed.
fn nobody_hammered(operator: &Operator, (before, since): (u64, Instant), claims: usize) {
    let (turns, elapsed) = (failed(operator) - before, since.elapsed());
    let doublings = (elapsed.as_secs_f64() / FIRST_BACKOFF.as_secs_f64() + 1.0).log2();
    let most = (doublings + 4.0) * f64::from(u32::try_from(claims).unwrap());
    assert!(f64::from(u32::try_from(turns).unwrap()) < most, "{turns} turns failed in {elapsed:?}");
}

#[tokio::test]
async fn what_a_server_refuses_is_told_with_the_statement_and_what_would_help() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    // The server says of a claim's marker row what the claim's name says: as when the disk is full, for one.
    let mut admin = site.postgres.admin("tenantry").await;
    let refuse = "create function tenantry.refuse() returns trigger language plpgsql as $$ begin \
                  raise exception 'refused by a test' using errcode = substr(new.name, 3); end $$; \
                  create trigger refuse before insert on tenantry.marker for each row \
                  when (new.name like 'x-%') execute function tenantry.refuse()";
    admin.execute(refuse).await.unwrap();
    let cases = [
        ("x-53100", "DiskFull", "free disk space on the server"),
        ("x-53200", "OutOfMemory", "raise the server's max_locks_per_transaction"),
        ("x-53300", "TooManyConnections", "raise max_connections of the server"),
        ("x-25006", "ReadOnly", "name the primary in spec.external.host of the DatabaseServer"),
        ("x-42501", "PrivilegeMissing", "grant it to the admin login"),
        (
            "x-22023",
            "SettingRefused",
            "correct the value that the statement sets in spec.limits of the claim",
        ),
        ("x-22012", "ReconcileFailed", "it is tried again"),
    ];
    let begun = (failed(&operator), Instant::now());
    for (claim, ..) in cases {
        scene.create(Kind::TenantDatabase, &scene.inside("acme", claim), json!({})).await;
    }
    for (claim, reason, help) in cases {
        let said = scene.refused(Kind::TenantDatabase, &scene.inside("acme", claim), reason).await;
        let place = "failed to run statement 1 of ";
        for part in [place, " on the server", "INSERT INTO tenantry.marker", "refused by a test", help] {
            assert!(said.contains(part), "{claim}: no {part} in {said}");
        }
    }
    // The others' databases do not notice.
    scene.ready(Kind::TenantDatabase, &scene.inside("acme", "orders")).await;
    let step = async |claim: &str| {
        let claim = scene.get(Kind::TenantDatabase, &scene.inside("acme", claim)).await.unwrap();
        claim["status"]["steps"][0].clone()
    };
    assert_eq!(step("x-53100").await["phase"], "Failed");
    nobody_hammered(&operator, begun, cases.len());

    admin.execute("drop function tenantry.refuse() cascade").await.unwrap();
    for (claim, ..) in cases {
        scene.ready(Kind::TenantDatabase, &scene.inside("acme", claim)).await;
    }
    operator.stop().await;
}

/// A site whose admin is no superuser, as a cloud's: limits hold for it, too.
struct Cloud<'a> {
    scene: Stage<'a>,
    superuser: PgConnection,
    operator: &'a Operator,
    claims: usize,
}

impl Cloud<'_> {
    async fn run(&mut self, sql: &'static str) {
        for statement in sql.split(';') {
            self.superuser.execute(statement).await.unwrap();
        }
    }

    /// What stands with a claim's database.
    async fn settings(&self, claim: &Key) -> Vec<String> {
        let database = binding(&self.scene, &format!("{}-app", claim.name)).await.remove("database");
        let mut admin = self.scene.site.postgres.admin("postgres").await;
        let sql = "select unnest(s.setconfig) from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase \
                   where s.setrole = 0 and d.datname = $1 order by 1";
        sqlx::query_scalar(sql).bind(database).fetch_all(&mut admin).await.unwrap()
    }

    /// A claim that somebody makes now.
    async fn claim(&mut self) -> Key {
        self.claims += 1;
        let claim = self.scene.inside("acme", &format!("more{}", self.claims));
        self.scene.create(Kind::TenantDatabase, &claim, json!({})).await;
        claim
    }

    /// Waits until the claim is Ready: its server may have to be probed first, after a wait that has grown.
    async fn recovers(&self, claim: &Key) {
        wait_until(2 * A_MINUTE, &format!("{claim} is ready"), async || {
            let claim = self.scene.get(Kind::TenantDatabase, claim).await.unwrap();
            let ready = condition(&claim, "Ready").filter(|ready| ready["status"] == "True");
            ready.map(drop).ok_or_else(|| claim["status"].to_string())
        })
        .await;
    }

    /// A new claim says so, or the server that it waits for. Returns what is said.
    async fn told(&mut self, reason: &str) -> (Key, String) {
        let begun = (failed(self.operator), Instant::now());
        let (claim, server) = (self.claim().await, Key::cluster(&self.scene.site.server));
        let says = |object: Option<Value>| {
            let object = object?;
            let ready = condition(&object, "Ready").filter(|ready| ready["reason"] == reason)?;
            Some(ready["message"].as_str()?.to_owned())
        };
        let said = wait_until(A_MINUTE, &format!("{claim} or its server says {reason}"), async || {
            let object = self.scene.get(Kind::TenantDatabase, &claim).await;
            let own = says(object.clone());
            let servers = says(self.scene.get(Kind::DatabaseServer, &server).await);
            own.or(servers).ok_or_else(|| format!("{object:?}"))
        })
        .await;
        nobody_hammered(self.operator, begun, self.claims);
        (claim, said)
    }
}

#[tokio::test]
async fn every_shortage_of_a_real_server_is_named_and_its_end_recovers() {
    let site = Site::own().await;
    limit_admin(&site, &Stage::new(&site).await).await;
    let operator = Operator::start(&site).await;
    let (scene, superuser) = (shop::open(&site).await, site.postgres.admin("postgres").await);
    let mut cloud = Cloud { scene, superuser, operator: &operator, claims: 0 };

    // 25006
    cloud.run("alter system set default_transaction_read_only = on; select pg_reload_conf()").await;
    let (claim, said) = cloud.told("ReadOnly").await;
    assert!(said.contains("read-only transaction") && said.contains("name the primary"), "{said}");
    cloud.run("set default_transaction_read_only = off").await;
    cloud.run("alter system reset default_transaction_read_only; select pg_reload_conf()").await;
    cloud.recovers(&claim).await;

    // 42501
    cloud.run("alter role limited nocreatedb").await;
    let (claim, said) = cloud.told("PrivilegeMissing").await;
    let parts =
        ["failed to run statement ", " on the server", "CREATE DATABASE", "permission denied", "grant it"];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    cloud.run("alter role limited createdb").await;
    cloud.recovers(&claim).await;

    // A limit that the admin may not set: all else is done, and the GRANT is named.
    let limited = cloud.scene.inside("acme", "orders");
    let limits = json!({"spec": {"limits": {"statementTimeout": "1m", "tempFiles": "1Gi"}}});
    let begun = (failed(&operator), Instant::now());
    cloud.scene.patch(Kind::TenantDatabase, &limited, limits).await;
    let said = cloud.scene.refused(Kind::TenantDatabase, &limited, "PrivilegeMissing").await;
    let grant = "run: GRANT SET ON PARAMETER temp_file_limit TO \"limited\"";
    assert!(said.starts_with("spec.limits.tempFiles: ") && said.ends_with(grant), "{said}");
    assert_eq!(cloud.settings(&limited).await, ["statement_timeout=60000"]);
    nobody_hammered(&operator, begun, cloud.claims + 2);
    cloud.run("grant set on parameter temp_file_limit to limited").await;
    cloud.recovers(&limited).await;
    assert_eq!(cloud.settings(&limited).await, ["statement_timeout=60000", "temp_file_limit=1048576"]);

    // What keeps tenants out of the server's log is told on the server, until it can be set or nobody asks for it.
    let server = Key::cluster(&site.server);
    let exposed = |server: &Value| condition(server, "Exposed").map(|exposed| exposed["message"].clone());
    let said = cloud.scene.until(Kind::DatabaseServer, &server, "is exposed", exposed).await;
    let grant = "GRANT SET ON PARAMETER log_min_messages TO \"limited\"";
    assert!(said.as_str().unwrap().contains(grant), "{said}");
    cloud.run("grant set on parameter log_min_messages to limited").await;
    cloud.scene.patch(Kind::DatabaseServer, &server, json!({"metadata": {"labels": {"look": "now"}}})).await;
    let closed = |server: &Value| condition(server, "Exposed").is_none().then_some(());
    cloud.scene.until(Kind::DatabaseServer, &server, "is exposed no more", closed).await;
    let right = ["log_min_messages=panic", "statement_timeout=60000", "temp_file_limit=1048576"];
    wait_until(A_MINUTE, "the database is kept out of the log", async || {
        let settings = cloud.settings(&limited).await;
        if settings == right { Ok(()) } else { Err(format!("{settings:?}")) }
    })
    .await;
    let drifted = cloud.scene.get(Kind::TenantDatabase, &limited).await.unwrap();
    assert!(condition(&drifted, "Drifted").is_none(), "nobody has changed anything: {drifted}");
    cloud.scene.patch(Kind::DatabaseServer, &server, json!({"spec": {"tenantLog": "Keep"}})).await;
    wait_until(A_MINUTE, "the server's own settings hold", async || {
        let settings = cloud.settings(&limited).await;
        if settings == right[1..] { Ok(()) } else { Err(format!("{settings:?}")) }
    })
    .await;

    // 53200: one session holds every lock that there is room for.
    let mut hoarder = site.postgres.admin("postgres").await;
    let hoard = "select count(pg_advisory_lock(n)) from generate_series(1, 1000000) n";
    let full = hoarder.execute(hoard).await.unwrap_err();
    assert_eq!(full.as_database_error().unwrap().code().unwrap(), "53200");
    let (claim, said) = cloud.told("OutOfMemory").await;
    assert!(said.contains("out of shared memory") && said.contains("max_locks_per_transaction"), "{said}");
    hoarder.close().await.unwrap();
    cloud.recovers(&claim).await;

    // 53300: all that the admin login has are ended, and it gets no other one.
    cloud.run("alter role limited connection limit 0").await;
    cloud.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'limited'").await;
    let (claim, said) = cloud.told("TooManyConnections").await;
    assert!(said.contains("too many connections for role") && said.contains("CONNECTION LIMIT"), "{said}");
    cloud.run("alter role limited connection limit -1").await;
    cloud.recovers(&claim).await;

    // A standby, as after a failover that spec.external.host does not follow; then it is the primary.
    let signal = data(&site).join("standby.signal");
    site.postgres.stop();
    std::fs::write(&signal, "").unwrap();
    belongs_to_postgres(&signal);
    site.postgres.start();
    let (claim, said) = cloud.told("ReadOnly").await;
    assert!(said.contains("name the primary"), "{said}");
    let server = Key::cluster(&site.server);
    let look = json!({"metadata": {"annotations": {"tenantry.dev/reconcile-requested-at": "standby"}}});
    cloud.scene.patch(Kind::DatabaseServer, &server, look).await;
    let said = cloud.scene.refused(Kind::DatabaseServer, &server, "ReadOnly").await;
    assert!(said.contains("name the primary"), "{said}");
    cloud.superuser = site.postgres.admin("postgres").await;
    cloud.run("select pg_promote()").await;
    wait_until(A_MINUTE, "the primary is used", async || {
        for (kind, key) in [(Kind::DatabaseServer, &server), (Kind::TenantDatabase, &claim)] {
            let object = cloud.scene.get(kind, key).await.unwrap();
            let ready = condition(&object, "Ready").filter(|ready| ready["status"] == "True");
            ready.ok_or_else(|| object.to_string())?;
        }
        Ok(())
    })
    .await;

    // What was there before has been there all the time.
    cloud.scene.ready(Kind::Tenant, &cloud.scene.cluster("acme")).await;
    operator.stop().await;
}

/// The file of a table of the operator database.
async fn file_of(site: &Site, table: &str) -> PathBuf {
    let mut admin = site.postgres.admin("tenantry").await;
    let path = sqlx::query_scalar("select pg_relation_filepath($1::regclass)").bind(table);
    let path: String = path.fetch_one(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    data(site).join(path)
}

/// Where the server has its files.
fn data(site: &Site) -> PathBuf {
    site.postgres.access().ca.parent().unwrap().join("data")
}

/// Gives a new file in the server's folder to whoever has the folder.
fn belongs_to_postgres(file: &Path) {
    let folder = std::fs::metadata(file.parent().unwrap()).unwrap();
    std::os::unix::fs::chown(file, Some(folder.uid()), Some(folder.gid())).unwrap();
}

#[tokio::test]
async fn a_disk_without_room_is_named_and_room_recovers() {
    let site = Site::own().await;
    let operator = Operator::start(&site).await;
    let scene = shop::open(&site).await;
    // A table that has no page yet and lies on a disk that has room for none.
    let file = file_of(&site, "tenantry.credential").await;
    let put = |there: &dyn Fn()| {
        site.postgres.stop();
        std::fs::remove_file(&file).unwrap();
        there();
        site.postgres.start();
    };
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 0);
    put(&|| symlink("/dev/full", &file).unwrap());

    let begun = (failed(&operator), Instant::now());
    let claim = scene.inside("acme", "orders");
    let rotate = json!({"metadata": {"annotations": {"rotate.tenantry.dev/app": "now"}}});
    scene.patch(Kind::TenantDatabase, &claim, rotate).await;
    let said = scene.refused(Kind::TenantDatabase, &claim, "DiskFull").await;
    let parts = [
        "failed to run statement ",
        " on the server: INSERT INTO tenantry.credential",
        "No space left on device",
        "free disk space on the server",
    ];
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    // Both claims stumble over the restart.
    nobody_hammered(&operator, begun, 2);

    put(&|| {
        std::fs::write(&file, "").unwrap();
        belongs_to_postgres(&file);
    });
    scene.ready(Kind::TenantDatabase, &claim).await;
    operator.stop().await;
}
