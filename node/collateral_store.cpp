#include "node/collateral_store.h"

#include "attestation/evidence.h"
#include "attestation/vendor_services.h"
#include "base/log.h"
#include "base/percent.h"
#include "node/http_request.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <fstream>
#include <system_error>
#include <utility>

namespace nostril::node {

namespace {

namespace fs = std::filesystem;

constexpr int kOk = 200;

std::optional<Bytes> read_bounded(const fs::path& path, std::size_t bytes_max) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  Bytes out(bytes_max + 1);
  file.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad() || out.size() > bytes_max) return std::nullopt;
  return out;
}

/// In one step: a reader sees the old file or the new one.
bool write_whole(const fs::path& path, ByteSpan bytes) {
  fs::path part = path;
  part += ".part";
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << as_text(bytes);
  file.close();
  if (file.fail()) return false;
  std::error_code error;
  fs::rename(part, path, error);
  return !error;
}

std::int64_t modified_s(const fs::path& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  if (error) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::file_clock::to_sys(time).time_since_epoch())
      .count();
}

}  // namespace

CollateralStore::CollateralStore(CollateralStoreSettings settings)
    : settings_(std::move(settings)) {}

Result<VendorDocument, std::string> CollateralStore::obtain(const VendorRequest& request,
                                                            std::int64_t now_s) {
  auto kept = read(request.name, now_s);
  const bool usable = kept && request.is_good(kept->document, now_s);
  const std::int64_t ahead_s = request.ahead_s < 0 ? settings_.ahead_s : request.ahead_s;
  const bool fresh = usable && kept->age_s < settings_.refresh_s &&
                     request.is_good(kept->document, now_s + ahead_s);
  const auto failed = failed_at_.find(request.name);
  const bool resting =
      usable && failed != failed_at_.end() && now_s - failed->second < settings_.retry_s;
  if (fresh || resting) return std::move(kept->document);
  auto fetched = fetch(request);
  if (fetched && !request.is_good(*fetched, now_s)) {
    fetched = failure(request.url + ": the answer is not the vendor's valid word for this machine");
  }
  if (fetched) {
    failed_at_.erase(request.name);
    write(request.name, *fetched);
    return fetched;
  }
  failed_at_[request.name] = now_s;
  if (!usable) return fetched;
  log(LogLevel::Warning, "{}; the one from {} s ago is used while it is valid",
      public_text(fetched.error()), kept->age_s);
  return std::move(kept->document);
}

std::optional<CollateralStore::Kept> CollateralStore::read(const std::string& name,
                                                           std::int64_t now_s) const {
  const fs::path path = settings_.folder / (name + ".body");
  auto body = read_bounded(path, kDocumentBytesMax);
  if (!body) return std::nullopt;
  Kept out;
  out.document.body = std::move(*body);
  if (const auto chain =
          read_bounded(settings_.folder / (name + ".chain"), attestation::kIssuerChainBytesMax)) {
    out.document.chain = as_text(*chain);
  }
  out.age_s = now_s - modified_s(path);
  return out;
}

void CollateralStore::write(const std::string& name, const VendorDocument& document) const {
  std::error_code error;
  fs::create_directories(settings_.folder, error);
  // The chain first: a body beside another chain is refused by is_good() and fetched again.
  const bool written = (document.chain.empty() || write_whole(settings_.folder / (name + ".chain"),
                                                              as_bytes(document.chain))) &&
                       write_whole(settings_.folder / (name + ".body"), document.body);
  if (!written) {
    log(LogLevel::Warning, "{}: collateral can't be kept there",
        public_text(settings_.folder.string()));
  }
}

Result<VendorDocument, std::string> CollateralStore::fetch(const VendorRequest& request) const {
  if (request.url.empty()) {
    return failure(fmt::format("{}: there is none in {}, and no service is set to ask for it",
                               request.name, settings_.folder.string()));
  }
  net::HttpCall call;
  call.url = request.url;
  if (!request.body.empty()) {
    call.method = "POST";
    call.body = request.body;
    call.headers.add("Content-Type", request.content_type);
  }
  call.ca_path = settings_.ca_file;
  call.connect_ms_max = settings_.request_ms_max;
  call.first_byte_ms_max = settings_.request_ms_max;
  call.idle_ms_max = settings_.request_ms_max;
  call.response_bytes_max = kDocumentBytesMax;
  const auto reply = http_request(std::move(call), settings_.request_ms_max);
  if (!reply) return failure(request.url + ": " + reply.error());
  if (reply->status != kOk)
    return failure(fmt::format("{}: status {}", request.url, reply->status));
  VendorDocument out;
  const ByteSpan body = as_bytes(reply->body);
  out.body.assign(body.begin(), body.end());
  if (request.chain_header != nullptr) {
    const auto header = reply->headers.find(request.chain_header);
    auto chain = percent_decode(header.value_or(""));
    if (!header || !chain || chain->size() > attestation::kIssuerChainBytesMax) {
      return failure(fmt::format("{}: no issuer chain in {}", request.url, request.chain_header));
    }
    out.chain = std::move(*chain);
  }
  return out;
}

}  // namespace nostril::node
