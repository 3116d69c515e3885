//! The complete list of permissions: who has which role on which resource. Every change must change this list.

use std::collections::{BTreeMap, BTreeSet};

use super::{Mutant, check, deployed, differs};
use crate::{
    plugin::NUMBER,
    rehearsal::{Deployment, PROJECT, Settings, read, rehearses},
};

/// `member | permissions | resource`, without those of the deployer.
const GRANTS: &[&str] = &[
    "cancel | datastore.entities.get datastore.entities.list datastore.entities.update | database (default)",
    "cancel | run.executions.cancel | job export-job",
    "create | datastore.entities.create datastore.entities.get datastore.entities.list datastore.entities.update | database (default)",
    "create | roles/cloudkms.cryptoKeyEncrypter | key hub-tokens",
    "create | roles/run.invoker | service list",
    "create | run.jobs.run run.jobs.runWithOverrides | job export-job",
    "everybody | no check of the invoker | service cancel",
    "everybody | no check of the invoker | service create",
    "everybody | no check of the invoker | service get",
    "everybody | no check of the invoker | service health",
    "everybody | no check of the invoker | service plan",
    "get | datastore.entities.get datastore.entities.list | database (default)",
    "get | iam.serviceAccounts.signBlob | account get",
    "get | storage.objects.get | bucket demo-export-export-files",
    "job | datastore.entities.get datastore.entities.update | database (default)",
    "job | roles/cloudkms.cryptoKeyDecrypter | key hub-tokens",
    "job | roles/storage.objectViewer | bucket base-models",
    "job | roles/storage.objectViewer | bucket training-adapters",
    "job | storage.multipartUploads.abort storage.multipartUploads.create storage.objects.create storage.objects.delete storage.objects.get storage.objects.list | bucket demo-export-export-files",
    "job | storage.multipartUploads.abort storage.multipartUploads.create storage.objects.create storage.objects.delete storage.objects.get storage.objects.list | bucket demo-export-export-models",
    "list | datastore.entities.get datastore.entities.list | database (default)",
    "plan | datastore.entities.get | database (default)",
    "plan | roles/storage.objectViewer | bucket base-models",
    "plan | roles/storage.objectViewer | bucket demo-export-export-files",
    "plan | roles/storage.objectViewer | bucket demo-export-export-models",
    "plan | roles/storage.objectViewer | bucket training-adapters",
];

/// Buckets of other services, which staging does not have.
const OF_OTHERS: [&str; 2] = ["bucket base-models", "bucket training-adapters"];

struct Grant {
    who: String,
    role: String,
    place: String,
    conditional: bool,
}

/// Every binding of the deployment. An unknown kind of binding is a violation.
fn grants(deployment: &Deployment) -> Result<Vec<Grant>, String> {
    let mut grants = Vec::new();
    for resource in &deployment.resources {
        if *resource.at("invoker_iam_disabled") == true {
            grants.push(Grant {
                who: "everybody".to_owned(),
                role: "no check of the invoker".to_owned(),
                place: format!("service {}", resource.text("name")),
                conditional: false,
            });
        }
        // workload identity pools have "iam" in their names as well, but are not bindings
        let binds = ["_iam_member", "_iam_binding", "_iam_policy", "_iam_audit_config"];
        if !binds.iter().any(|suffix| resource.kind.ends_with(suffix)) {
            continue;
        }
        let place = match resource.kind.as_str() {
            "google_project_iam_member" => "project".to_owned(),
            "google_cloud_run_v2_service_iam_member" => format!("service {}", resource.text("name")),
            "google_cloud_run_v2_job_iam_member" => format!("job {}", resource.text("name")),
            "google_kms_crypto_key_iam_member" => {
                format!("key {}", resource.text("crypto_key_id").rsplit('/').next().unwrap_or_default())
            }
            "google_storage_bucket_iam_member" => format!("bucket {}", resource.text("bucket")),
            "google_service_account_iam_member" => {
                format!("account {}", short(resource.text("service_account_id")))
            }
            other => return Err(format!("{}: {other} replaces bindings of others", resource.address)),
        };
        let condition = resource.text("condition.0.expression");
        let database = condition
            .strip_prefix(&format!("resource.name == \"projects/{PROJECT}/databases/"))
            .and_then(|rest| rest.strip_suffix('"'));
        grants.push(Grant {
            who: short(resource.text("member")),
            role: resource.text("role").to_owned(),
            place: database.map_or(place, |database| format!("database {database}")),
            conditional: database.is_some(),
        });
    }
    Ok(grants)
}

/// `export-get@…` is `get`.
fn short(member: &str) -> String {
    let account = member.rsplit(['/', ':']).next().unwrap_or_default();
    match (member, account.strip_suffix(&format!("@{PROJECT}.iam.gserviceaccount.com"))) {
        ("allUsers" | "allAuthenticatedUsers", _) => "everybody".to_owned(),
        (_, Some(account)) => account.strip_prefix("export-").unwrap_or(account).to_owned(),
        (_, None) => member.to_owned(),
    }
}

fn nobody_may_do_more_than_is_written_down(deployment: &Deployment) -> Vec<String> {
    let custom: BTreeMap<_, _> = deployment
        .all("google_project_iam_custom_role")
        .map(|role| {
            let all = role.at("permissions").as_array().into_iter().flatten().filter_map(|p| p.as_str());
            (
                role.text("name").to_owned(),
                all.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(" "),
            )
        })
        .collect();
    let grants = match grants(deployment) {
        Ok(grants) => grants,
        Err(wrong) => return vec![wrong],
    };
    let found: BTreeSet<_> = grants
        .iter()
        .filter(|grant| grant.who != "deployer" && !grant.who.starts_with("principalSet:"))
        // customer-managed keys are used by Google's services: rules/data.rs
        .filter(|grant| !grant.place.starts_with("key ") || grant.place == "key hub-tokens")
        .map(|grant| {
            let what = custom.get(&grant.role).unwrap_or(&grant.role);
            format!("{} | {what} | {}", grant.who, grant.place)
        })
        .collect();
    let others = found.iter().any(|grant| grant.contains(OF_OTHERS[0]));
    let of_others = |grant: &str| OF_OTHERS.iter().any(|bucket| grant.contains(bucket));
    let expected: BTreeSet<_> =
        GRANTS.iter().filter(|grant| others || !of_others(grant)).map(|grant| (*grant).to_owned()).collect();
    let more = found.difference(&expected).map(|grant| format!("granted and not written down: {grant}"));
    more.chain(expected.difference(&found).map(|grant| format!("not granted: {grant}"))).collect()
}

#[test]
fn grants_are_those_written_down() {
    check(
        nobody_may_do_more_than_is_written_down,
        &[
            Mutant(
                "terraform/modules/firestore/iam.tf",
                "permissions = [\"datastore.entities.get\", \"datastore.entities.list\"]",
                "permissions = [\"datastore.entities.get\", \"datastore.entities.delete\"]",
            ),
            Mutant(
                "terraform/main.tf",
                "role   = module.storage_roles.object_getter",
                "role   = \"roles/storage.objectAdmin\"",
            ),
            Mutant(
                "terraform/modules/job/main.tf",
                "google_project_iam_custom_role.launcher.name",
                "\"roles/run.developer\"",
            ),
            Mutant(
                "terraform/modules/job/main.tf",
                "google_project_iam_custom_role.canceler.name",
                "google_project_iam_custom_role.launcher.name",
            ),
            Mutant(
                "terraform/main.tf",
                "role          = \"roles/cloudkms.cryptoKeyEncrypter\"",
                "role          = \"roles/cloudkms.cryptoKeyEncrypterDecrypter\"",
            ),
            Mutant(
                "terraform/main.tf",
                "updaters  = { job = module.job.service_account_member }",
                "updaters  = {}",
            ),
            Mutant(
                "terraform/modules/firestore/iam.tf",
                "databases/${var.database}\\\"\"",
                "databases/\\\"\"",
            ),
            Mutant(
                "terraform/main.tf",
                "service_account_id = module.function[\"get\"].service_account_name",
                "service_account_id = module.function[\"create\"].service_account_name",
            ),
        ],
    );
}

fn no_role_is_wider_than_one_resource(deployment: &Deployment) -> Vec<String> {
    let grants = match grants(deployment) {
        Ok(grants) => grants,
        Err(wrong) => return vec![wrong],
    };
    let mut wrong = Vec::new();
    for Grant { who, role, place, conditional } in &grants {
        if ["roles/owner", "roles/editor", "roles/viewer"].contains(&role.as_str()) {
            wrong.push(format!("{who} has the primitive role {role}"));
        }
        if place == "project" && !conditional && who != "deployer" {
            wrong.push(format!("{who} has {role} in the whole project"));
        }
    }
    let wildcards = deployment.all("google_project_iam_custom_role").filter(|role| {
        role.at("permissions").as_array().is_none_or(|all| {
            all.is_empty() || all.iter().any(|permission| permission.as_str().is_none_or(|p| p.contains('*')))
        })
    });
    wrong.extend(wildcards.map(|role| format!("{}: permissions must be named", role.address)));
    wrong
}

#[test]
fn roles_are_bound_on_resources_and_never_primitive() {
    check(
        no_role_is_wider_than_one_resource,
        &[
            Mutant(
                "terraform/main.tf",
                "role   = \"roles/storage.objectViewer\"\n  member = module.job.service_account_member",
                "role   = \"roles/viewer\"\n  member = module.job.service_account_member",
            ),
            Mutant(
                "terraform/modules/github-deployer/main.tf",
                "\"roles/run.admin\",",
                "\"roles/run.admin\",\n    \"roles/editor\",",
            ),
            Mutant(
                "terraform/modules/firestore/iam.tf",
                "resource.name == \\\"projects/",
                "resource.name != \\\"projects/",
            ),
            Mutant(
                "terraform/modules/bucket/roles/main.tf",
                "permissions = [\"storage.objects.get\"]",
                "permissions = [\"storage.objects.*\"]",
            ),
            Mutant(
                "terraform/main.tf",
                "resource \"google_storage_bucket_iam_member\" \"get_reads_files\" {\n  bucket = module.bucket[\"files\"].name\n  role   = module.storage_roles.object_getter",
                "resource \"google_project_iam_member\" \"get_reads_files\" {\n  project = var.project_id\n  role    = module.storage_roles.object_getter",
            ),
        ],
    );
}

/// Who has roles on the whole project, as `page` says it.
fn whole_project_is_documented(deployment: &Deployment, page: &str) -> Vec<String> {
    let grants = match grants(deployment) {
        Ok(grants) => grants,
        Err(wrong) => return vec![wrong],
    };
    let has: BTreeSet<_> = grants
        .into_iter()
        .filter(|grant| grant.place == "project" && !grant.conditional)
        .map(|grant| grant.who)
        .collect();
    let sentence = regex::Regex::new("Only the ([a-z]+) has roles on the whole project").unwrap();
    let named: BTreeSet<_> = sentence.captures_iter(page).map(|found| found[1].to_owned()).collect();
    // without a repository there is no deployer
    let deployer = deployment.all("google_iam_workload_identity_pool_provider").next().is_some();
    differs("roles on the whole project", has, if deployer { named } else { BTreeSet::new() })
        .into_iter()
        .collect()
}

#[test]
fn the_documentation_says_who_has_roles_on_the_whole_project() {
    check(
        |deployment| whole_project_is_documented(deployment, &read("docs/SECURITY.md")),
        &[
            Mutant(
                "terraform/main.tf",
                "resource \"google_storage_bucket_iam_member\" \"get_reads_files\" {\n  bucket = module.bucket[\"files\"].name\n  role   = module.storage_roles.object_getter",
                "resource \"google_project_iam_member\" \"get_reads_files\" {\n  project = var.project_id\n  role    = module.storage_roles.object_getter",
            ),
            Mutant(DEPLOYER, "  for_each = local.roles\n", "  for_each = toset([])\n"),
        ],
    );
    if rehearses() {
        let page = "Nobody has a role on the whole project.";
        assert!(!whole_project_is_documented(&deployed(Settings::Everything), page).is_empty());
    }
}

fn only_the_main_branch_deploys(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    for provider in deployment.all("google_iam_workload_identity_pool_provider") {
        let expected = [
            "assertion.repository_id == '123456789'",
            "assertion.repository_owner_id == '1234567'",
            "assertion.ref == 'refs/heads/main'",
            "assertion.workflow_ref == assertion.repository + '/.github/workflows/deploy.yml@refs/heads/main'",
            "assertion.environment == 'production'",
        ]
        .join(" && ");
        if provider.text("attribute_condition") != expected {
            wrong.push(format!("{} lets in {:?}", provider.address, provider.text("attribute_condition")));
        }
        if provider.text("oidc.0.issuer_uri") != "https://token.actions.githubusercontent.com" {
            wrong.push(format!("{} trusts {}", provider.address, provider.text("oidc.0.issuer_uri")));
        }
    }
    let federated = deployment
        .all("google_service_account_iam_member")
        .filter(|m| m.text("role").ends_with("workloadIdentityUser"));
    for binding in federated {
        let expected = format!(
            "principalSet://iam.googleapis.com/projects/{NUMBER}/locations/global/workloadIdentityPools/export-github/attribute.environment/production"
        );
        if binding.text("member") != expected || short(binding.text("service_account_id")) != "deployer" {
            wrong.push(format!(
                "{}: {} becomes {}",
                binding.address,
                binding.text("member"),
                binding.text("service_account_id")
            ));
        }
    }
    wrong
}

const DEPLOYER: &str = "terraform/modules/github-deployer/main.tf";

#[test]
fn a_workflow_becomes_the_deployer_and_nobody_else() {
    check(
        only_the_main_branch_deploys,
        &[
            Mutant(DEPLOYER, "    \"assertion.ref == 'refs/heads/main'\",\n", ""),
            Mutant(DEPLOYER, "    \"assertion.environment == '${var.environment}'\",\n", ""),
            Mutant(
                DEPLOYER,
                "assertion.repository_id == '${var.repository.id}'",
                "assertion.repository == '${var.repository.name}'",
            ),
            Mutant(DEPLOYER, "/attribute.environment/${var.environment}\"", "/*\""),
        ],
    );
}

/// People and the workflow need the same roles, so the documentation lists those of the workflow.
fn the_deployers_roles_are_documented(deployment: &Deployment) -> Vec<String> {
    let grants = match grants(deployment) {
        Ok(grants) => grants,
        Err(wrong) => return vec![wrong],
    };
    let granted: BTreeSet<_> =
        grants.into_iter().filter(|grant| grant.who == "deployer").map(|grant| grant.role).collect();
    if granted.is_empty() {
        return Vec::new();
    }
    let text = read("docs/DEPLOY.md");
    let start = text.find("<!-- roles -->").unwrap();
    let listed = &text[start..start + text[start..].find("<!-- /roles -->").unwrap()];
    let role = regex::Regex::new(r"roles/[\w.]+").unwrap();
    let listed: BTreeSet<_> = role.find_iter(listed).map(|role| role.as_str().to_owned()).collect();
    differs("the deployer's roles", granted, listed).into_iter().collect()
}

#[test]
fn the_documentation_lists_the_roles_of_the_deployer() {
    let file = "terraform/modules/github-deployer/main.tf";
    check(
        the_deployers_roles_are_documented,
        &[
            Mutant(file, "    \"roles/monitoring.admin\",\n", ""),
            Mutant(file, "\"roles/run.admin\",", "\"roles/run.admin\",\n    \"roles/pubsub.admin\","),
        ],
    );
}

/// The words of a table's cell that are code. `.list` after `storage.objects.get` is `storage.objects.list`.
fn words(cell: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in cell.split('`').skip(1).step_by(2) {
        let full = match (word.strip_prefix('.'), found.last().and_then(|last| last.rsplit_once('.'))) {
            (Some(end), Some((start, _))) => format!("{start}.{end}"),
            _ => word.to_owned(),
        };
        found.push(full);
    }
    found
}

/// The summary says of each identity what it has a role on.
#[test]
fn the_summary_of_the_documentation_names_every_grant() {
    let page = read("docs/SECURITY.md");
    let section = page.split("| who | may | on |").nth(1).unwrap().split("\n\n").next().unwrap();
    let summary: BTreeSet<_> = section
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [who, _, on] = cells[..] else { return None };
            Some((who.replace("the job", "job"), on.to_owned()))
        })
        .collect();
    for grant in GRANTS.iter().filter(|grant| !grant.starts_with("everybody")) {
        let [who, _, place] = grant.split(" | ").collect::<Vec<_>>()[..] else { panic!("{grant}") };
        let on = match place.split(' ').next().unwrap() {
            "database" => "the database",
            "key" => "the key of Hub tokens",
            "job" => "the one job",
            "bucket" => "bucket",
            "account" => "itself",
            _ => "`list`",
        };
        let named = summary.iter().any(|(row, resource)| row.contains(who) && resource.contains(on));
        assert!(named, "docs/SECURITY.md does not say that {who} has a role on {on}");
    }
}

/// A row of the table in docs/SECURITY.md.
pub(crate) struct Row {
    pub(crate) identity: String,
    pub(crate) calls: String,
    pub(crate) permissions: Vec<String>,
    roles: Vec<String>,
}

pub(crate) fn rows() -> Vec<Row> {
    let page = read("docs/SECURITY.md");
    let section = page.split("## Calls, permissions and roles").nth(1).unwrap();
    let rows = section.split("\n## ").next().unwrap().lines().filter(|line| line.starts_with("| ")).skip(2);
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [identity, calls, permissions, role] = cells[..] else { panic!("{row}") };
        Row {
            identity: identity.trim_matches('`').trim_start_matches("the ").to_owned(),
            calls: calls.to_owned(),
            permissions: words(permissions),
            roles: words(role),
        }
    })
    .collect()
}

#[test]
fn the_table_of_the_documentation_is_this_list() {
    let mut documented = BTreeMap::<String, BTreeSet<String>>::new();
    for Row { identity, permissions, roles, .. } in rows() {
        let predefined: Vec<_> = roles.into_iter().filter(|role| role.starts_with("roles/")).collect();
        let granted = if predefined.is_empty() { permissions } else { predefined };
        documented.entry(identity).or_default().extend(granted);
    }
    let mut granted = BTreeMap::<String, BTreeSet<String>>::new();
    for grant in GRANTS.iter().filter(|grant| !grant.starts_with("everybody")) {
        let [who, permissions, _] = grant.split(" | ").collect::<Vec<_>>()[..] else { panic!("{grant}") };
        granted.entry(who.to_owned()).or_default().extend(permissions.split(' ').map(str::to_owned));
    }
    assert_eq!(documented, granted);
}
