#pragma once

#include "attestation/evidence.h"

#include <string>

/// What verifiers of dstack guests read beside a quote, in their names. All of it is said by the
/// quote or covered by it. Pure.
namespace nostril::node {

/// The event log as JSON with every digest in it: such verifiers replay digests as they stand. What
/// can't be read is handed on as it is; "[]" without an application.
[[nodiscard]] std::string full_event_log(const attestation::Evidence& evidence);

/// The agent's words about the virtual machine (JSON text), with the document that MRCONFIGID or
/// HOST_DATA names in it; empty: none.
[[nodiscard]] std::string vm_config_of(const attestation::Evidence& evidence);

/// Their `info`, a JSON object; what is not known is left out:
///
///   app_id, instance_id, compose_hash, os_image_hash   hex, from events before system-ready
///   key_provider_info                                  JSON text {name, id}, the same
///   app_name                                           the compose text's `name`
///   vm_config                                          text, as the guest's agent has it
///   tcb_info { mrtd, rtmr0 … rtmr3                     hex, from the quote
///              compose_hash, os_image_hash, event_log, app_compose }
[[nodiscard]] std::string report_info(const attestation::Evidence& evidence);

}  // namespace nostril::node
