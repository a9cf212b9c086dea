#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

/// Reports of Linux' configfs-tsm (Documentation/ABI/testing/configfs-tsm), the same for TDX and
/// SEV-SNP guests since kernel 6.7.
namespace nostril::node {

inline constexpr std::string_view kTsmTdxProvider = "tdx_guest";
inline constexpr std::string_view kTsmSnpProvider = "sev_guest";

/// The folder of reports at the system-call boundary: each call is one mkdir(2), rmdir(2), or one
/// open-write-close or open-read-close. Answers are 0 or an errno. A test's twin replays
/// recordings. Threads: one.
class TsmFolder {
 public:
  explicit TsmFolder(std::filesystem::path path) : path_(std::move(path)) {}

  virtual ~TsmFolder() = default;
  TsmFolder(const TsmFolder&) = delete;
  TsmFolder& operator=(const TsmFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  virtual int make(const std::string& entry);
  virtual int remove(const std::string& entry);
  /// All of `bytes` in one write(2).
  virtual int write(const std::string& entry, const char* attribute, ByteSpan bytes);
  /// EFBIG for more than `bytes_max`.
  virtual Result<Bytes, int> read(const std::string& entry, const char* attribute,
                                  std::size_t bytes_max);

 private:
  std::filesystem::path path_;
};

/// A kernel's answer.
struct TsmReport {
  std::string provider;
  Bytes outblob;  ///< the quote or report
  Bytes auxblob;  ///< SNP: the certificate table (node/snp_certificate_table.h); may be empty
};

/// Who answers here: kTsmTdxProvider, kTsmSnpProvider or another. Makes and removes an entry. The
/// error is one line for the operator.
[[nodiscard]] Result<std::string, std::string> tsm_provider(TsmFolder& folder);

/// A report over these 64 bytes. `generation` is read before the write, after it, and after the
/// answer: it must have gone up by exactly our write, else somebody else used the entry and the
/// answer may be for his data; then it is asked for again, a few times.
[[nodiscard]] Result<TsmReport, std::string> read_tsm_report(
    TsmFolder& folder, std::span<const std::uint8_t, 64> report_data);

}  // namespace nostril::node
