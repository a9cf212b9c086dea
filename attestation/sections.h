#pragma once

#include "attestation/evidence.h"
#include "base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// The sections that pack.h and vendor_documents.h write and read: type u8, length u32 big-endian,
/// bytes. Inside of these two only.
namespace nostril::attestation {

enum class Section : std::uint8_t {
  Kind = 1,
  Statement = 2,
  CpuQuote = 3,
  GpuReport = 4,
  GpuChain = 5,
  GpuManifest = 6,
  SwitchReport = 7,
  SwitchChain = 8,
  OcspAnswer = 9,
  NamedDocument = 10,
  TcbInfo = 16,
  TcbInfoSignature = 17,
  TcbInfoIssuerChain = 18,
  QeIdentity = 19,
  QeIdentitySignature = 20,
  QeIdentityIssuerChain = 21,
  RootCaCrl = 22,
  PckCrl = 23,
  EventLog = 24,
  Compose = 25,
  SnpVek = 26,
  SnpChain = 27,
  SnpCrl = 28,
  Manifest = 29,
  MrConfig = 30,
};

/// Whether sections that hold text are folded (fold.h).
enum class Texts : std::uint8_t { Plain, Folded };

class SectionWriter {
 public:
  explicit SectionWriter(Texts texts) : texts_(texts) {}

  void add(Section type, ByteSpan bytes);
  void add(Section type, const std::vector<Bytes>& parts);
  void add(const Collateral& collateral);

  [[nodiscard]] Bytes take() && { return std::move(out_); }

 private:
  void append(Section type, ByteSpan bytes);

  Texts texts_;
  Bytes out_;
};

/// Reads sections in order; any deviation makes ok() false for good.
class SectionReader {
 public:
  SectionReader(ByteSpan sections, Texts texts) : rest_(sections), texts_(texts) {}

  [[nodiscard]] bool is_next(Section type) const;

  /// The next section, which must be of `type` and within `bytes_max`.
  void take(Section type, std::size_t bytes_max, Bytes& out);
  void take(Section type, std::size_t bytes_max, std::string& out);
  void take(Section type, std::array<std::uint8_t, 64>& out);

  /// A text that may not be there; an empty one is refused: it would be another packing of none.
  void take_text(Section type, std::size_t bytes_max, std::string& out);

  /// All sections of `type` that follow, to `count_max`.
  void take(Section type, std::size_t count_max, std::size_t bytes_max, std::vector<Bytes>& out);

  Collateral take_collateral();

  void fail() { ok_ = false; }

  [[nodiscard]] bool ok() const { return ok_; }

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  ByteSpan take_raw(Section type, std::size_t bytes_max);

  ByteSpan rest_;
  Texts texts_;
  bool ok_ = true;
};

}  // namespace nostril::attestation
