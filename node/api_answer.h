#pragma once

#include "net/http.h"
#include "node/answering.h"
#include "node/api_exchange.h"
#include "node/api_server.h"
#include "schnorr/hash.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nostril::node {

/// What every exchange of one server works with. Borrowed.
struct ApiContext {
  const ApiServerParts& parts;
  const ApiLimits& limits;
  const std::vector<ApiTransformMaker>& transforms;
  const std::vector<ApiHook*>& hooks;
};

/// One POST to an engine over the HTTPS face: opens its body, lets it be answered, seals what comes
/// and sends it. Threads: the loop's only. Held by shared_ptr.
class ApiAnswer final : public AnswerPeer, public std::enable_shared_from_this<ApiAnswer> {
 public:
  /// `over`: once, when nothing more will be sent.
  ApiAnswer(ApiContext context, std::shared_ptr<ApiWire> wire, std::function<void()> over);

  /// Once.
  void begin(const net::HttpRequest& request, const net::PeerAddress& peer);
  /// The client went away.
  void on_closed();
  /// What was written has left.
  void on_drained();
  /// The node stops: a record is made of what was delivered.
  void stop();

 private:
  [[nodiscard]] Result<std::string, ApiRefusal> open_body(const net::HttpRequest& request);
  [[nodiscard]] Result<ModelPlace, ApiRefusal> place_of(std::string_view body);

  // AnswerPeer
  void on_queued(std::size_t /*ahead*/) override {}

  void on_head(const ResponseHead& head) override { head_ = head; }

  void on_bytes(std::string_view bytes) override;
  [[nodiscard]] bool wants_more() const override;
  void drop_unsent() override;

  [[nodiscard]] Digest response_hash() const override { return hash_.peek(); }

  void on_receipt_needed(const Event& record) override;

  void on_broken() override {}

  void on_ending(RecordStatus status, const EngineOutcome& outcome) override;
  void add_changes(const ResponseRecord& record, const Event& event,
                   std::vector<client::JournalChange>& changes) override;
  void on_end(const ResponseRecord& record, const Event& event) override;
  void on_refused(const AnswerRefusal& refusal) override;
  void on_changed() override;

  void start_stream();
  void stream(std::string_view bytes);
  /// A stream that can't end well says why, where the form has a place for it.
  void stream_error(const ApiRefusal& refusal);
  [[nodiscard]] bool may_tell_errors() const;
  void seal_whole(std::string_view plain);
  void refuse(const ApiRefusal& refusal);
  [[nodiscard]] bool seal(std::string_view bytes, std::string& out);
  [[nodiscard]] bool seal_rest(std::string& out);
  void begin_transforms(net::HttpHeaders& headers);
  void keep(std::vector<client::JournalChange>& changes);
  void over();

  ApiContext context_;
  const std::shared_ptr<ApiWire> wire_;
  std::function<void()> over_;
  ApiExchange exchange_;
  /// Outermost first; those before `opened_` have read the request's body.
  std::vector<std::unique_ptr<ApiTransform>> transforms_;
  std::size_t opened_ = 0;
  std::unique_ptr<ApiHold> hold_;
  std::shared_ptr<Answering> answering_;
  ResponseHead head_;
  Sha256 hash_;        ///< of what left or will
  std::string whole_;  ///< of an answer that is no stream: plain, then as it leaves
  net::HttpHeaders headers_;
  std::string held_;      ///< the last word of a stream, until its record is on the disk
  bool started_ = false;  ///< the stream's head has left
  bool broken_ = false;   ///< it could not be sealed
  bool closed_ = false;   ///< the client is gone
  bool stopping_ = false;
};

}  // namespace nostril::node
