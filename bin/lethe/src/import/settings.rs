//! LiteLLM's settings that have no place here, and why.

use super::yaml::Node;

/// Names of settings, and what to say of them.
const REASONS: &[(&[&str], &str)] = &[
    (
        &[
            "alert_to_webhook_url",
            "alert_types",
            "alerting",
            "alerting_threshold",
            "callback_settings",
            "callbacks",
            "default_team_settings",
            "failure_callback",
            "langfuse_default_tags",
            "otel",
            "redact_user_api_key_info",
            "service_callback",
            "success_callback",
            "turn_off_message_logging",
        ],
        "refused on purpose: callbacks and log services would be handed requests; `lethe metrics` and `lethe records` have all that is kept",
    ),
    (
        &[
            "cache",
            "cache_params",
            "cache_responses",
            "caching_groups",
            "coordination_redis",
            "enable_caching_on_provider_specific_optional_params",
        ],
        "refused on purpose: answers are never cached or shared",
    ),
    (
        &[
            "detailed_debug",
            "json_logs",
            "log_raw_request_response",
            "set_verbose",
            "store_prompts_in_spend_logs",
            "disable_spend_logs",
        ],
        "there is no log of requests to configure",
    ),
    (
        &["drop_params", "additional_drop_params", "modify_params"],
        "nothing is dropped silently: what a provider cannot take is a 400 that names it",
    ),
    (&["master_key"], "keys are made with `lethe key create`; the first one is made at the first start"),
    (
        &[
            "database_connection_pool_limit",
            "database_url",
            "disable_prisma_schema_update",
            "store_model_in_db",
            "proxy_batch_write_at",
            "use_redis_transaction_buffer",
        ],
        "Lethe keeps its own database, `[control] store`; models stand in this file",
    ),
    (
        &[
            "allowed_fails",
            "allowed_fails_policy",
            "cooldown_time",
            "num_retries",
            "request_timeout",
            "retry_after",
            "retry_policy",
            "stream_timeout",
            "timeout",
        ],
        "retries, back-off and circuit breaking are built in; limits of waiting belong to each provider (connect_seconds, first_byte_seconds, \
         idle_seconds, total_seconds)",
    ),
    (
        &["redis_host", "redis_password", "redis_port", "redis_url"],
        "there is no shared store: a place that a gateway can write to is one content can end up in",
    ),
    (
        &["context_window_fallbacks", "content_policy_fallbacks"],
        "the next route is tried only while nothing has been answered: an answer that refuses is the client's",
    ),
    (&["guardrails", "policies", "policy_attachments", "prompts"], "requests are shown to nobody else on their way"),
    (
        &["assistant_settings", "batch_settings", "files_settings", "finetune_settings", "vector_store_registry"],
        "refused on purpose: files, batches, assistants and stores keep content",
    ),
    (
        &[
            "mcp_servers",
            "sandbox_tools",
            "search_tools",
            "websearch_interception_params",
            "code_interpreter_interception_params",
        ],
        "tools are called by the client",
    ),
    (&["environment_variables"], "set them in the environment of `lethe up`; their values are not copied"),
];

/// Settings that are read elsewhere.
const CARRIED: &[&str] = &["default_fallbacks", "fallbacks", "model_group_alias", "routing_strategy"];

/// Every setting that has no place, as `section: names: why`.
pub(crate) fn left(root: &Node) -> Vec<String> {
    let mut names: Vec<(String, &str)> = Vec::new();
    for (section, node) in root.entries() {
        match section.as_str() {
            "model_list" | "credential_list" => {}
            "general_settings" | "litellm_settings" | "router_settings" => {
                names.extend(node.entries().iter().map(|(name, _)| (format!("{section}.{name}"), name.as_str())));
            }
            _ => names.push((section.clone(), section.as_str())),
        }
    }
    names.retain(|(_, name)| !CARRIED.contains(name));
    let mut left = Vec::new();
    for (group, why) in REASONS {
        let (of_group, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|(_, name)| group.contains(name));
        names = others;
        if !of_group.is_empty() {
            left.push(format!("{}: {why}", joined(&of_group)));
        }
    }
    if !names.is_empty() {
        left.push(format!("{}: no such thing here", joined(&names)));
    }
    left
}

fn joined(names: &[(String, &str)]) -> String {
    names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}
