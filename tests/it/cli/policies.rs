//! Admission: what protects CRDs, servers in use and other people's Secrets.

use std::time::Duration;

use crate::support::{ControlPlane, wait_until};

use super::Shell;

const OPERATOR: &str = "system:serviceaccount:tenantry-system:operator";

#[tokio::test]
async fn a_crd_goes_only_with_the_annotation_and_a_server_only_when_unused() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    effective(&shell).await;

    let refused = shell.kubectl(&["delete", "crd", "plans.tenantry.dev", "--dry-run=server"]).await;
    let next = "first run: kubectl annotate crd plans.tenantry.dev tenantry.dev/allow-delete=true";
    assert!(refused.code == Some(1) && refused.stderr.contains(next), "{refused:?}");
    let all = shell.kubectl(&["delete", "crd", "--all", "--dry-run=server"]).await;
    assert_eq!(
        all.stderr.matches("deleting this CRD deletes every object of its kind").count(),
        7,
        "{all:?}"
    );

    shell.kubectl(&["annotate", "crd", "plans.tenantry.dev", "tenantry.dev/allow-delete=no"]).await;
    let still = shell.kubectl(&["delete", "crd", "plans.tenantry.dev", "--dry-run=server"]).await;
    assert_eq!(still.code, Some(1), "{still:?}");
    shell
        .kubectl(&["annotate", "--overwrite", "crd", "plans.tenantry.dev", "tenantry.dev/allow-delete=true"])
        .await;
    let allowed = shell.kubectl(&["delete", "crd", "plans.tenantry.dev", "--dry-run=server"]).await;
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    shell.kubectl(&["annotate", "crd", "plans.tenantry.dev", "tenantry.dev/allow-delete-"]).await;

    let server = "apiVersion: tenantry.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: pg, labels: {tenantry.dev/in-use: \"true\"}}\nspec: {managed: {version: \"15\", storage: 1Gi}}\n";
    shell.apply(server).await;
    let refused = shell.tenantry(&["delete", "dbs", "pg", "--yes"]).await;
    let next = "list them with: kubectl get serverdatabases --field-selector spec.serverRef.name=pg";
    assert!(refused.code == Some(1) && refused.stderr.contains(next), "{refused:?}");
    let uid = shell.kubectl(&["get", "dbs", "pg", "-o", "jsonpath={.metadata.uid}"]).await.stdout;
    let force = format!("tenantry.dev/force-release={uid}");
    assert!(refused.stderr.contains(&format!("first run: kubectl annotate dbs pg {force}")), "{refused:?}");
    shell.kubectl(&["annotate", "dbs", "pg", "tenantry.dev/force-release=true"]).await;
    let still = shell.kubectl(&["delete", "dbs", "pg", "--dry-run=server"]).await;
    assert_eq!(still.code, Some(1), "{still:?}");
    shell.kubectl(&["annotate", "--overwrite", "dbs", "pg", &force]).await;
    let allowed = shell.kubectl(&["delete", "dbs", "pg", "--dry-run=server"]).await;
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    shell.kubectl(&["annotate", "dbs", "pg", "tenantry.dev/force-release-"]).await;
    shell.kubectl(&["label", "dbs", "pg", "tenantry.dev/in-use-"]).await;
    shell.ok(&["delete", "dbs", "pg", "--yes", "--wait"]).await;
}

#[tokio::test]
async fn what_belongs_to_a_protected_tenant_goes_only_when_the_protection_is_lifted() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    effective(&shell).await;
    shell
        .apply(
            "apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\nmetadata: {name: acme}\nspec: {planRef: {name: p}, deletionProtection: true}\n---\n\
             apiVersion: v1\nkind: Namespace\nmetadata: {name: tenant-acme, labels: {tenantry.dev/protected: \"true\", tenantry.dev/tenant: acme}}\n---\n\
             apiVersion: tenantry.dev/v1alpha1\nkind: ServerDatabase\nmetadata: {name: t-x-app, labels: {tenantry.dev/protected: \"true\", tenantry.dev/tenant: acme}}\n\
             spec: {serverRef: {name: pg}, physicalName: t_x_app, claimRef: {namespace: tenant-acme, name: app}}\n---\n\
             apiVersion: tenantry.dev/v1alpha1\nkind: TenantDatabase\nmetadata: {name: app, namespace: tenant-acme}\nspec: {}\n",
        )
        .await;
    let lift = "kubectl patch tenant acme --type=merge -p '{\"spec\":{\"deletionProtection\":false}}'";
    for target in
        [["delete", "tenant", "acme"], ["delete", "namespace", "tenant-acme"], ["delete", "sdb", "t-x-app"]]
    {
        wait_until(Duration::from_secs(30), "the deletion is refused", async || {
            let refused = shell.kubectl(&[&target[..], &["--dry-run=server"]].concat()).await;
            let said = refused.code == Some(1) && refused.stderr.contains(&format!("first run: {lift}"));
            if said { Ok(()) } else { Err(format!("{refused:?}")) }
        })
        .await;
    }
    let refused = shell.tenantry(&["delete", "tenant", "acme", "--yes"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains(lift), "{refused:?}");
    // A claim is never kept: its namespace could not be emptied.
    let claim = shell.kubectl(&["delete", "tdb", "app", "-n", "tenant-acme"]).await;
    assert_eq!(claim.code, Some(0), "{claim:?}");

    let change = lift.split_once("-p ").unwrap().1.trim_matches('\'');
    shell.kubectl(&["patch", "tenant", "acme", "--type=merge", "-p", change]).await;
    shell.kubectl(&["label", "namespace", "tenant-acme", "tenantry.dev/protected-"]).await;
    shell.kubectl(&["label", "sdb", "t-x-app", "tenantry.dev/protected-"]).await;
    for target in
        [["delete", "tenant", "acme"], ["delete", "namespace", "tenant-acme"], ["delete", "sdb", "t-x-app"]]
    {
        let gone = shell.kubectl(&target).await;
        assert_eq!(gone.code, Some(0), "{gone:?}");
    }
}

/// Who may make a tenant gets an empty one with that right alone.
async fn only_who_may_take_over_tenants_gives_one_the_data_of_another(shell: &Shell) {
    shell
        .apply(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: makes-tenants}\n\
             rules: [{apiGroups: [tenantry.dev], resources: [tenants], verbs: [get, create, update, patch]}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: takes-over}\n\
             rules: [{apiGroups: [tenantry.dev], resources: [tenants], verbs: [take-over]}]\n",
        )
        .await;
    let bind = async |name: &str, users: &[&str]| {
        let role = format!("--clusterrole={name}");
        let users: Vec<String> = users.iter().map(|user| format!("--user={user}")).collect();
        let mut args = vec!["create", "clusterrolebinding", name, &role];
        args.extend(users.iter().map(String::as_str));
        let bound = shell.kubectl(&args).await;
        assert_eq!(bound.code, Some(0), "{bound:?}");
    };
    bind("makes-tenants", &["maker", "taker"]).await;
    bind("takes-over", &["taker"]).await;
    let tenant = |annotations: &str| {
        format!(
            "apiVersion: tenantry.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: taken, annotations: {annotations}}}\nspec: {{planRef: {{name: p}}}}\n"
        )
    };
    let asking = tenant("{tenantry.dev/take-over: u-1}");
    let by =
        async |user: &str, verb: &str, yaml: &str| shell.feed(&[verb, "--as", user, "-f", "-"], yaml).await;
    wait_until(Duration::from_secs(30), "the policy is obeyed, and the taker's role", async || {
        let refused = shell.feed(&["create", "--dry-run=server", "--as", "maker", "-f", "-"], &asking).await;
        let allowed = shell.feed(&["create", "--dry-run=server", "--as", "taker", "-f", "-"], &asking).await;
        let said = refused.stderr.contains("it takes the verb take-over on tenants.tenantry.dev");
        if said && allowed.code == Some(0) { Ok(()) } else { Err(format!("{refused:?} {allowed:?}")) }
    })
    .await;

    let made = by("maker", "create", &tenant("{}")).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let annotate = async |user: &str, annotation: &str| {
        shell.kubectl(&["annotate", "tenant", "taken", "--overwrite", annotation, "--as", user]).await
    };
    let refused = annotate("maker", "tenantry.dev/take-over=u-1").await;
    assert!(refused.stderr.contains("it takes the verb take-over"), "{refused:?}");
    let taken = annotate("taker", "tenantry.dev/take-over=u-1").await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    // What somebody else has said stays, whoever writes the tenant next, until it is another.
    let kept = annotate("maker", "example.com/note=kept").await;
    assert_eq!(kept.code, Some(0), "{kept:?}");
    let other = annotate("maker", "tenantry.dev/take-over=u-2").await;
    assert!(other.stderr.contains("it takes the verb take-over"), "{other:?}");
    let removed = annotate("maker", "tenantry.dev/take-over-").await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
}

#[tokio::test]
async fn the_operator_writes_only_secrets_labelled_ours() {
    let plane = ControlPlane::own().await;
    let shell = Shell::new(&plane);
    effective(&shell).await;
    only_who_may_take_over_tenants_gives_one_the_data_of_another(&shell).await;

    let ours = secret("ours", "{app.kubernetes.io/managed-by: tenantry}", "Opaque");
    let mine = async |verb: &str, yaml: &str| shell.feed(&[verb, "--as", OPERATOR, "-f", "-"], yaml).await;
    let created = mine("create", &ours).await;
    assert_eq!(created.code, Some(0), "{created:?}");
    let label = "may write only Secrets labelled app.kubernetes.io/managed-by=tenantry";
    for labels in ["{}", "{app.kubernetes.io/managed-by: helm}"] {
        let refused = mine("create", &secret("bare", labels, "Opaque")).await;
        assert!(refused.stderr.contains(label), "{refused:?}");
    }
    let unlabelled = mine("replace", &secret("ours", "{}", "Opaque")).await;
    assert!(unlabelled.stderr.contains(label), "{unlabelled:?}");

    shell.apply(&secret("theirs", "{}", "Opaque")).await;
    let taken =
        mine("replace", &secret("theirs", "{app.kubernetes.io/managed-by: tenantry}", "Opaque")).await;
    assert!(taken.stderr.contains(label), "{taken:?}");
    // A Secret that only lost the label shows by its owner whose it is.
    let stripped = |name: &str, labels: &str, owner: &str| {
        let annotation = format!("annotations: {{tenantry.dev/owner-uid: {owner}, ");
        secret(name, labels, "Opaque").replace("annotations: {", &annotation)
    };
    let label_of_ours = "{app.kubernetes.io/managed-by: tenantry}";
    shell.apply(&stripped("stripped", "{}", "acme")).await;
    let taken = mine("replace", &stripped("stripped", label_of_ours, "globex")).await;
    assert!(taken.stderr.contains(label), "{taken:?}");
    let restored = mine("replace", &stripped("stripped", label_of_ours, "acme")).await;
    assert_eq!(restored.code, Some(0), "{restored:?}");
    shell.apply(&stripped("helms", "{app.kubernetes.io/managed-by: helm}", "acme")).await;
    let taken = mine("replace", &stripped("helms", label_of_ours, "acme")).await;
    assert!(taken.stderr.contains(label), "{taken:?}");

    let account_token =
        secret("token", "{app.kubernetes.io/managed-by: tenantry}", "kubernetes.io/service-account-token");
    let refused = mine("create", &account_token).await;
    assert!(refused.stderr.contains("may not make tokens of service accounts"), "{refused:?}");
    let deleted = shell.kubectl(&["delete", "secret", "ours", "--as", OPERATOR]).await;
    assert!(deleted.stderr.contains("cannot delete resource \"secrets\""), "{deleted:?}");
}

#[tokio::test]
async fn the_operator_binds_the_owners_role_and_no_other() {
    let plane = ControlPlane::shared().await;
    let shell = Shell::new(plane);
    let bind = async |role: &str| {
        let binding = format!("--clusterrole={role}");
        let args =
            ["create", "rolebinding", "x", &binding, "--user=alice", "--dry-run=server", "--as", OPERATOR];
        shell.kubectl(&args).await
    };
    let owner = bind("tenantry-tenant-owner").await;
    assert_eq!(owner.code, Some(0), "{owner:?}");
    for role in ["cluster-admin", "admin", "edit", "tenantry-edit"] {
        let refused = bind(role).await;
        assert!(
            refused.stderr.contains("attempting to grant RBAC permissions not currently held"),
            "{role}: {refused:?}"
        );
    }
}

fn secret(name: &str, labels: &str, kind: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, labels: {labels}, annotations: {{kubernetes.io/service-account.name: default}}}}\ntype: {kind}\n"
    )
}

/// A policy is obeyed a moment after it was made: only a refusal is proof.
async fn effective(shell: &Shell) {
    wait_until(Duration::from_secs(30), "the policies are obeyed", async || {
        let crd = shell.kubectl(&["delete", "crd", "tenants.tenantry.dev", "--dry-run=server"]).await;
        let secret = secret("probe", "{}", "Opaque");
        let secret = shell.feed(&["create", "--dry-run=server", "--as", OPERATOR, "-f", "-"], &secret).await;
        let server = "apiVersion: tenantry.dev/v1alpha1\nkind: DatabaseServer\nmetadata: {name: probe, labels: {tenantry.dev/in-use: \"true\"}}\nspec: {managed: {version: \"15\", storage: 1Gi}}\n";
        shell.apply(server).await;
        let server = shell.kubectl(&["delete", "dbs", "probe", "--dry-run=server"]).await;
        let refused = |outcome: &super::Outcome| outcome.stderr.contains("denied request");
        if [&crd, &secret, &server].into_iter().all(refused) {
            Ok(())
        } else {
            Err(format!("{crd:?} {secret:?} {server:?}"))
        }
    })
    .await;
}
