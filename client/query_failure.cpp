#include "client/query_failure.h"

namespace nostril::client {

std::string_view to_string(QueryFailure failure) {
  switch (failure) {
    case QueryFailure::None:
      return "none";
    case QueryFailure::NotOffered:
      return "nobody offers this model";
    case QueryFailure::NobodyListens:
      return "the node is not connected to these relays";
    case QueryFailure::NotTaken:
      return "the relays refuse the request";
    case QueryFailure::NoAnswer:
      return "the node does not answer";
    case QueryFailure::Refused:
      return "the node refused";
    case QueryFailure::Broken:
      return "the node broke the protocol; its answer can't be trusted";
    case QueryFailure::NotPayable:
      return "the node's record is wrong; nothing was paid";
    case QueryFailure::JournalFailed:
      return "the receipt could not be stored; nothing was paid";
    case QueryFailure::NoChannel:
      return "no channel that is backed pays this node, or it is used up";
  }
  return "unknown";
}

std::string_view word_of(QueryFailure failure) {
  switch (failure) {
    case QueryFailure::None:
      return "none";
    case QueryFailure::NotOffered:
      return "not-offered";
    case QueryFailure::NobodyListens:
      return "nobody-listens";
    case QueryFailure::NotTaken:
      return "not-taken";
    case QueryFailure::NoAnswer:
      return "no-answer";
    case QueryFailure::Refused:
      return "refused";
    case QueryFailure::Broken:
      return "broken";
    case QueryFailure::NotPayable:
      return "not-payable";
    case QueryFailure::JournalFailed:
      return "journal-failed";
    case QueryFailure::NoChannel:
      return "no-channel";
  }
  return "unknown";
}

}  // namespace nostril::client
