"""Which tests keep each finding of the attack on an early version from coming back.

`test_findings.py` checks that every finding is here and that every test exists. The names of findings: B, a blocker;
M, a major fault; m, a minor one.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FINDINGS", "Finding"]


@dataclass(frozen=True)
class Finding:
    """An attack that succeeded once.

    Attributes:
        attack: What succeeded.
        tests: The tests that fail if it succeeds again, as `FILE::FUNCTION` below `tests/`.
    """

    attack: str
    tests: tuple[str, ...]


def _in(file: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{function}" for function in functions)


FINDINGS = {
    "B1": Finding(
        "a mixture file or a .env sends any variable to any host",
        _in(
            "security/test_keys.py",
            "an_env_file_chooses_no_mixture",
            "an_env_file_opens_no_server",
            "a_mixture_file_cannot_send_any_variable_to_its_own_host",
            "over_plain_http_keys_go_to_this_machine_and_private_networks_only",
            "params_name_no_host_no_proxy_no_key_and_no_header_of_the_clients",
            "look_alikes_of_a_providers_host_do_not_get_its_key",
        ),
    ),
    "B2": Finding(
        "a reply ends the run with an untyped error",
        _in("unit/test_reply.py", "any_message_class_is_read", "any_reply_is_read_and_can_be_stored")
        + _in("unit/test_reply.py", "counts_are_integers_that_can_be_trusted_or_unknown")
        + _in("faults/test_odd_replies.py", "odd_replies_become_drafts_with_the_expected_status"),
    ),
    "B3": Finding(
        "a large or compressed reply stops the event loop and exhausts the memory",
        _in("integration/test_wire_limits.py", "a_reply_that_is_too_large_ends_the_call_without_blocking_the_loop")
        + _in("unit/test_thoughts.py", "time_grows_with_the_length_and_not_faster")
        + _in("faults/test_odd_replies.py", "odd_replies_become_drafts_with_the_expected_status"),
    ),
    "B4": Finding(
        "a web page of another site, or a rebound name, runs a served graph",
        _in("security/test_browser.py", "a_page_of_another_site_cannot_start_a_run", "a_rebound_name_reads_nothing")
        + _in(
            "security/test_server_guard.py",
            "a_post_must_say_that_it_is_json",
            "foreign_names_are_refused_even_when_the_origin_is_the_same",
            "pages_of_other_sites_are_refused",
        ),
    ),
    "M1": Finding(
        "the ledger answers another model's, setting's, name's or role's call",
        _in(
            "security/test_ledger.py",
            "a_chat_model_objects_settings_are_in_the_key",
            "an_object_that_cannot_be_told_from_another_is_refused_before_any_request",
            "names_and_roles_of_messages_are_in_the_key",
        ),
    ),
    "M2": Finding(
        "text of the conversation forges the boundaries of drafts; drafts are in the system message",
        _in(
            "unit/test_prompts.py",
            "the_code_is_nowhere_else_in_the_request",
            "the_code_changes_when_the_request_contains_it",
            "where_fenced_drafts_stand",
            "boundaries_are_cut_from_answers_whole_and_in_pieces",
        )
        + _in("faults/test_fence.py", "no_hostile_draft_forges_a_boundary"),
    ),
    "M3": Finding(
        "one rate-limited model slows every run at its host",
        _in(
            "unit/test_limits.py",
            "a_limiter_belongs_to_one_host_and_model_or_to_a_host_that_takes_few_at_once",
            "a_cool_down_longer_than_the_patience_delays_no_call",
            "one_model_that_is_limited_does_not_starve_its_siblings",
        ),
    ),
    "M4": Finding(
        "the proposers' retries and hedges use up the aggregator's attempts",
        _in("faults/test_retry_budget.py", "runs_lost_under_random_500s"),
    ),
    "M5": Finding(
        "a finish reason that is sent twice hides a cut or filtered answer",
        _in("unit/test_reply_stream.py", "the_worst_of_several_reasons_counts")
        + _in("unit/test_reply.py", "an_unknown_reason_is_never_whole"),
    ),
    "M6": Finding(
        "one line's id stops a whole batch",
        _in(
            "security/test_batch.py",
            "no_line_stops_the_others",
            "items_of_odd_ids_are_all_different_and_every_encoding_has_them",
        ),
    ),
    "M7": Finding(
        "a damaged ledger row stops everything, or is a wrong answer",
        _in(
            "security/test_ledger.py",
            "a_damaged_row_is_told_and_the_call_is_made_again",
            "random_damage_is_a_typed_error_or_a_right_answer",
        ),
    ),
    "M8": Finding(
        "a ledger of another version, or another program's file, is used",
        _in(
            "security/test_ledger.py",
            "a_later_version_refuses_this_versions_rows",
            "a_file_that_is_no_ledger_is_refused_before_any_request_and_not_touched",
        ),
    ),
    "M9": Finding(
        "a locked ledger is waited for beyond the deadlines",
        _in("security/test_ledger.py", "a_run_waits_for_a_locked_ledger_no_longer_than_its_deadline"),
    ),
    "M10": Finding(
        "look-alikes of private addresses pass the filter for images",
        _in("unit/test_conversation.py", "lookalikes_of_private_addresses_are_refused", "public_addresses_pass"),
    ),
    "M11": Finding(
        "broken HTTP is reported as a status that no server sent, at no cost",
        _in("unit/test_fault_words.py", "broken_http_is_not_a_status_that_a_server_sent")
        + _in("faults/test_odd_replies.py", "odd_replies_become_drafts_with_the_expected_status"),
    ),
    "M12": Finding(
        "Ctrl-C in a sync run waits for every proposer",
        _in("faults/test_interrupts.py", "ctrl_c_ends_a_sync_run_within_a_second_and_closes_its_requests"),
    ),
    "M13": Finding(
        "a terminal loses characters of an answer",
        _in("security/test_terminal.py", "no_character_is_lost")
        + _in("security/test_terminal.py", "a_line_about_a_fault_loses_no_character_either"),
    ),
    "M14": Finding(
        "a server's words control the terminal",
        _in("security/test_terminal.py", "a_servers_words_reach_the_terminal_as_words", "no_control_sequence_is_shown"),
    ),
    "M15": Finding(
        "one huge draft defeats the aggregator",
        _in("unit/test_huge_drafts.py", "a_draft_of_megabytes_does_not_defeat_the_aggregator"),
    ),
    "M16": Finding(
        "one request of many messages stops the server",
        _in("security/test_serve_load.py", "a_greedy_body_is_refused_and_others_are_answered_meanwhile"),
    ),
    "M17": Finding(
        "a chat model object of the caller's fails in every second event loop",
        _in("integration/test_own_models.py", "the_callers_model_works_in_every_asyncio_run"),
    ),
    "m1": Finding(
        "malformed Host and Origin headers are unhandled errors",
        _in("security/test_server_guard.py", "malformed_headers_are_a_400")
        + _in("serve/test_guard.py", "a_malformed_host_or_origin_is_a_400_with_an_error_of_openais_shape"),
    ),
    "m2": Finding(
        "a lone surrogate in a request fails after the drafts are paid for",
        _in(
            "serve/test_malformed_text.py",
            "a_lone_surrogate_in_a_name_or_a_setting_is_refused_before_anything_is_sent",
            "a_lone_surrogate_in_a_text_is_replaced",
        ),
    ),
    "m3": Finding(
        "half-open requests lock all others out",
        _in("security/test_serve_load.py", "idle_clients_do_not_lock_others_out_and_a_run_under_way_stays"),
    ),
    "m4": Finding(
        "the refusal of a large body cannot be read",
        _in("security/test_serve_load.py", "the_refusal_of_a_large_body_can_be_read"),
    ),
    "m5": Finding(
        "a stream that hangs after its finish reason, or is cut by the deadline, loses its text",
        _in(
            "unit/test_reply_stream.py",
            "a_stream_that_hangs_after_its_finish_reason_is_whole",
            "text_before_the_deadline_is_kept",
        ),
    ),
    "m6": Finding(
        "a byte order mark hides the first event of a stream",
        _in("integration/test_wire_limits.py", "odd_but_readable_streams_are_read"),
    ),
    "m7": Finding(
        "a generator stays open when the pieces of a stream do not join",
        _in("unit/test_reply_stream.py", "a_generator_that_is_left_early_is_closed", "any_pieces_join"),
    ),
    "m8": Finding(
        "a header that is not ASCII hides a 429",
        _in("integration/test_wire_limits.py", "a_429_with_a_header_that_is_not_ascii_is_a_429"),
    ),
    "m9": Finding(
        "Retry-After: 0 makes three requests at once",
        _in("unit/test_backoff.py", "a_wait_of_zero_has_a_floor"),
    ),
    "m10": Finding(
        "a reply 101 leaves a connection open",
        _in("integration/test_wire_limits.py", "an_unrequested_upgrade_closes_its_connection"),
    ),
    "m11": Finding(
        "proxies without a scheme fail; ports and networks in NO_PROXY are ignored",
        _in(
            "unit/test_proxies.py",
            "an_address_without_a_scheme_is_an_http_proxy",
            "an_invalid_proxy_is_refused_by_the_variables_name",
            "exceptions_are_kept_so_that_the_key_does_not_go_to_the_proxy",
        ),
    ),
    "m12": Finding(
        "a key with a line break is refused without its variable's name",
        _in("security/test_keys.py", "a_key_that_cannot_stand_in_a_header_is_refused_by_the_variables_name"),
    ),
    "m13": Finding(
        "a small file of anchors, a deep file or a pipe occupies the process",
        _in(
            "security/test_files.py",
            "a_trap_is_one_error_at_once",
            "what_is_no_regular_file_is_refused_without_waiting",
            "the_command_ends_with_3",
        ),
    ),
    "m14": Finding(
        "a full disk ends with the wrong code, and calls are paid for again at each start",
        _in(
            "security/test_ledger.py",
            "on_a_full_disk_nothing_is_paid_for",
            "moa_batch_on_a_disk_that_fills_up_ends_with_3_and_keeps_all_that_it_pays_for",
        ),
    ),
    "m15": Finding(
        "a line put into a batch makes all others be paid for again",
        _in(
            "security/test_batch.py",
            "the_same_lines_again_cost_nothing_wherever_new_ones_are_put_in",
            "a_line_without_an_id_and_an_id_that_is_its_number_are_two_questions",
        ),
    ),
    "m16": Finding(
        "a batch writes through a planted link",
        _in("security/test_batch.py", "a_planted_part_file_is_refused_and_what_it_leads_to_is_untouched"),
    ),
    "m17": Finding(
        "a clock that is set back makes durations negative",
        _in("unit/test_runs.py", "a_clock_that_is_set_back_changes_no_duration"),
    ),
    "m18": Finding(
        "JSON on a terminal has raw control characters",
        _in("security/test_terminal.py", "json_says_the_same_without_raw_controls"),
    ),
    "m19": Finding(
        "a reply that nobody asked for answers the next request on its connection",
        _in("integration/test_wire_limits.py", "an_unrequested_reply_is_not_the_next_answer"),
    ),
    "m20": Finding(
        "random 429s lower the limit to 4, and two runs of five fail",
        _in("unit/test_limits.py", "random_429s_do_not_lower_the_limit_for_long")
        + _in("faults/test_retry_budget.py", "runs_lost_under_random_429s"),
    ),
    "m21": Finding(
        "`params` replace the conversation or set the Host header",
        _in("security/test_keys.py", "params_name_no_host_no_proxy_no_key_and_no_header_of_the_clients"),
    ),
    "m22": Finding(
        "a run that is cancelled between two nodes is remembered",
        _in("unit/test_run_registry.py", "a_run_that_stopped_between_two_nodes_is_forgotten_later"),
    ),
}
