//! The demo itself: pods under the `restricted` profile, rows and logins that stay apart, and what the CLI says.

use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::ListParams;
use kube::{Api, Client};

use super::calls::{create_user, emails};
use super::{open, pods};
use crate::controller::scene::{A_MINUTE, Scene};
use crate::support::{FullCluster, Prefix, wait_until};

#[tokio::test]
async fn the_demos_tenants_run_under_the_restricted_profile() {
    let _calm = super::CALM.read().await;
    let cluster = FullCluster::shared().await;
    let scene = Scene::new(&cluster.plane).await;
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    for tenant in ["acme", "globex"] {
        pods(&scene, tenant, 1).await;
    }
    for name in ["tenant-acme", "tenant-globex", "tenantry-servers", "tenantry-system"] {
        let labels = namespaces.get(name).await.unwrap().metadata.labels.unwrap();
        let enforced = labels.get("pod-security.kubernetes.io/enforce").map(String::as_str);
        assert_eq!((name, enforced), (name, Some("restricted")));
    }
}

#[tokio::test]
async fn rows_of_one_tenant_are_never_seen_by_the_other() {
    let _calm = super::CALM.read().await;
    let cluster = FullCluster::shared().await;
    let client = cluster.plane.client().await;
    let prefix = Prefix::new();
    let of_test = |emails: Vec<String>| -> Vec<String> {
        emails.into_iter().filter(|email| email.contains(prefix.as_str())).collect()
    };
    let (ada, bob) =
        (format!("{}@acme.test", prefix.name("ada")), format!("{}@globex.test", prefix.name("bob")));
    create_user(&client, "acme", &ada).await.unwrap();
    assert_eq!(of_test(emails(&client, "acme").await.unwrap()), std::slice::from_ref(&ada));
    assert_eq!(of_test(emails(&client, "globex").await.unwrap()), Vec::<String>::new());
    create_user(&client, "globex", &bob).await.unwrap();
    // An address is unique in its own tenant only.
    create_user(&client, "globex", &ada).await.unwrap();
    assert_eq!(of_test(emails(&client, "acme").await.unwrap()), std::slice::from_ref(&ada));
    assert_eq!(of_test(emails(&client, "globex").await.unwrap()), [ada, bob]);
}

#[tokio::test]
async fn a_login_opens_its_own_database_only() {
    let _calm = super::CALM.read().await;
    let cluster = FullCluster::shared().await;
    let client = cluster.plane.client().await;
    let (acme, globex) = (binding(&client, "acme").await, binding(&client, "globex").await);
    for (own, other) in [(&acme, &globex), (&globex, &acme)] {
        cluster.postgres.connect(&own[1], &own[2], &own[0]).await.unwrap();
        for database in [&*other[0], "postgres", "template1", "tenantry"] {
            let refused = cluster.postgres.connect(&own[1], &own[2], database).await.unwrap_err();
            let code =
                refused.as_database_error().and_then(|error| error.code().map(|code| code.to_string()));
            assert_eq!(code.as_deref(), Some("42501"), "{} on {database}: {refused}", own[1]);
        }
    }
}

#[tokio::test]
async fn suspending_takes_pods_and_logins_away_and_resuming_brings_them_back_with_the_rows() {
    let _calm = super::CALM.read().await;
    let cluster = FullCluster::shared().await;
    let scene = Scene::new(&cluster.plane).await;
    let tenant = open(&scene, "sleeper").await;
    create_user(&scene.client, &tenant, "ada@sleeper.test").await.unwrap();
    let [database, login, password] = binding(&scene.client, &tenant).await;

    // What the tenant says is so when it says it.
    cluster.ok(&["suspend", &tenant, "--wait"]);
    let refused = cluster.postgres.connect(&login, &password, &database).await.unwrap_err();
    assert!(refused.as_database_error().is_some(), "{refused}");
    pods(&scene, &tenant, 0).await;

    cluster.ok(&["resume", &tenant, "--wait"]);
    cluster.postgres.connect(&login, &password, &database).await.unwrap();
    assert_eq!(emails(&scene.client, &tenant).await.unwrap(), ["ada@sleeper.test"]);
}

#[tokio::test]
async fn check_and_status_say_that_all_is_well() {
    let _calm = super::CALM.read().await;
    let cluster = FullCluster::shared().await;
    let (code, printed) = cluster.tenantry(&["status", "acme"]);
    assert_eq!(code, Some(0), "{printed}");
    // The test of crashes kills the operator now and then.
    let check = async || match cluster.tenantry(&["check"]) {
        (Some(0), _) => Ok(()),
        (code, printed) => Err(format!("{code:?} {printed}")),
    };
    wait_until(A_MINUTE, "check finds nothing", check).await;
}

/// Database, login and password of a tenant's service.
async fn binding(client: &Client, tenant: &str) -> [String; 3] {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &format!("tenant-{tenant}"));
    let secrets = secrets.list(&ListParams::default()).await.unwrap().items;
    let [secret] = <[Secret; 1]>::try_from(secrets).unwrap();
    let data = secret.data.unwrap();
    ["database", "username", "password"].map(|key| String::from_utf8(data[key].0.clone()).unwrap())
}
