//! The example that deploys the same functions on Lambda.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    rehearsal::{Copy, Deployment, PROJECT, rehearses},
    rules::environment::differences,
};

fn deploy(copy: &Copy) -> Result<Deployment, String> {
    copy.apply(&[format!("-var=project_id={PROJECT}")])
}

fn wrong(deployment: &Deployment) -> Vec<String> {
    let mut wrong = Vec::new();
    let functions: Vec<_> = deployment.all("aws_lambda_function").collect();
    let names: BTreeSet<_> = functions.iter().map(|function| function.text("function_name")).collect();
    if names
        != ["export-cancel", "export-create", "export-get", "export-health", "export-list", "export-plan"]
            .into()
    {
        wrong.push(format!("functions: {names:?}"));
    }
    for function in &functions {
        let found = (function.text("runtime"), function.text("architectures.0"), function.text("handler"));
        if found != ("provided.al2023", "arm64", "bootstrap") {
            wrong.push(format!("{} is {found:?}", function.address));
        }
        let variables = function.at("environment.0.variables").as_object().cloned().unwrap_or_default();
        let given: BTreeMap<_, _> =
            variables.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect();
        let name = function.text("function_name").trim_start_matches("export-");
        // on Lambda, list is called by its own URL: create forwards nothing
        let differs = differences(name, &given, "AWS_LAMBDA_FUNCTION_NAME");
        wrong.extend(differs.into_iter().filter(|d| d != "create reads LIST_URL and is not given it"));
        // the path in the zip of scripts/package; health needs no credentials
        let credentials = given.get("GOOGLE_APPLICATION_CREDENTIALS").copied();
        if credentials != (name != "health").then_some("/var/task/google.json") {
            wrong.push(format!("{name} looks for its credentials at {credentials:?}"));
        }
        // as on Google Cloud, where the job would not open what another key has sealed
        let key =
            format!("projects/{PROJECT}/locations/us-central1/keyRings/export-service/cryptoKeys/hub-tokens");
        if given.get("HF_TOKEN_KEY").copied() != (name == "create").then_some(key.as_str()) {
            wrong.push(format!("{name} seals Hub tokens with {:?}", given.get("HF_TOKEN_KEY")));
        }
        let others = given.iter().filter(|(variable, _)| **variable != "HF_TOKEN_KEY");
        let environment = format!("{:?}", others.collect::<Vec<_>>()).to_lowercase();
        if ["secret", "token", "aws_access_key", "private_key"]
            .iter()
            .any(|secret| environment.contains(secret))
        {
            wrong.push(format!("{} holds a secret", function.address));
        }
    }
    for (action, condition) in [
        ("lambda:InvokeFunctionUrl", "function_url_auth_type"),
        ("lambda:InvokeFunction", "invoked_via_function_url"),
    ] {
        let all = deployment.all("aws_lambda_permission").filter(|p| p.text("action") == action);
        if all.filter(|permission| !permission.at(condition).is_null()).count() != functions.len() {
            wrong
                .push(format!("{action} must be granted for each function, with {condition} and no further"));
        }
    }
    let roles: BTreeSet<_> = deployment
        .all("google_service_account_iam_member")
        .map(|binding| {
            let account = binding.text("service_account_id").rsplit('/').next().unwrap_or_default();
            let account = account.split('@').next().unwrap_or_default();
            (account, binding.text("member").rsplit('/').next().unwrap_or_default())
        })
        .collect();
    let itself =
        ["export-cancel", "export-create", "export-get", "export-health", "export-list", "export-plan"]
            .map(|name| (name, name))
            .into();
    if roles != itself {
        wrong.push(format!("who becomes whom: {roles:?}"));
    }
    let provider = deployment.all("google_iam_workload_identity_pool_provider").next();
    let condition = provider.map(|provider| provider.text("attribute_condition")).unwrap_or_default();
    if condition
        != "attribute.aws_role in ['export-cancel', 'export-create', 'export-get', 'export-health', 'export-list', 'export-plan']"
    {
        wrong.push(format!("the pool lets in {condition:?}"));
    }
    wrong
}

#[test]
fn lambda_functions_have_urls_roles_and_no_keys() {
    if !rehearses() {
        return;
    }
    let copy = Copy::aws();
    copy.validate().unwrap_or_else(|error| panic!("{error}"));
    let found = wrong(&deploy(&copy).unwrap_or_else(|error| panic!("{error}")));
    assert!(found.is_empty(), "{}", found.join("\n"));
    let module = "terraform/modules/aws-lambda/main.tf";
    for (file, from, to) in [
        (module, "[\"arm64\"]", "[\"x86_64\"]"),
        (module, "\"provided.al2023\"", "\"provided.al2\""),
        (module, "  invoked_via_function_url = true\n", ""),
        (module, "attribute.aws_role/${local.role_names[each.key]}", "*"),
        ("terraform/examples/aws/main.tf", "/var/task/google.json", "/opt/google.json"),
        ("terraform/examples/aws/main.tf", "      REGION              = var.google_region\n", ""),
        (
            "terraform/examples/aws/main.tf",
            "merge(local.database, local.token_key, {",
            "merge(local.database, {",
        ),
        ("terraform/examples/aws/main.tf", "cryptoKeys/hub-tokens", "cryptoKeys/tokens"),
        (
            "terraform/examples/aws/main.tf",
            "get = merge(local.database, {\n      GCS_EXPORT_FILES_BUCKET_NAME =",
            "get = merge(local.database, {\n      GCS_FILES =",
        ),
        ("terraform/examples/aws/main.tf", "EXPORT_JOB_NAME     = \"export-job\"", "HF_TOKEN = \"x\""),
    ] {
        let mutant =
            deploy(&Copy::aws().edit(file, from, to)).unwrap_or_else(|error| panic!("{from:?}: {error}"));
        assert!(!wrong(&mutant).is_empty(), "nothing minds {from:?} → {to:?}");
    }
}
