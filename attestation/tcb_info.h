#pragma once

#include "attestation/statement.h"
#include "attestation/verdict.h"
#include "base/result.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Intel's TCB info (version 3) and QE identity (version 2), of TDX or of SGX, read from their
/// exact signed text. Intel SGX and TDX Provisioning Certification Service API, version 4.
namespace nostril::attestation {

enum class IntelTee : std::uint8_t { Tdx, Sgx };

enum class TcbStatus : std::uint8_t {
  UpToDate,
  SWHardeningNeeded,
  ConfigurationNeeded,
  ConfigurationAndSWHardeningNeeded,
  TDRelaunchAdvised,
  TDRelaunchAdvisedConfigurationNeeded,
  OutOfDate,
  OutOfDateConfigurationNeeded,
  Revoked,
};

std::string_view to_string(TcbStatus status);

/// Nothing for a word that Intel does not define: the caller refuses.
std::optional<TcbStatus> parse_tcb_status(std::string_view word);

/// A level of the platform: reached when every number is at least this.
struct TcbLevel {
  std::array<std::uint8_t, 16> sgx{};
  std::uint16_t pce_svn = 0;
  std::array<std::uint8_t, 16> tdx{};  ///< zero in SGX's
  TcbStatus status = TcbStatus::Revoked;
  UnixTime date = 0;  ///< "tcbDate"; 0: not stated
  std::vector<std::string> advisories;
};

/// A level of the TDX module or of the quoting enclave.
struct SvnLevel {
  std::uint16_t isv_svn = 0;
  TcbStatus status = TcbStatus::Revoked;
  std::vector<std::string> advisories;
};

struct TdxModule {
  Measurement mrsigner{};
  std::array<std::uint8_t, 8> attributes{};
};

struct TdxModuleIdentity {
  std::uint8_t major_version = 0;  ///< of id "TDX_%02X"
  TdxModule module;
  std::vector<SvnLevel> levels;  ///< highest first
};

struct TcbInfo {
  UnixTime issued_at = 0;
  UnixTime next_update = 0;
  std::uint32_t evaluation_number = 0;
  std::array<std::uint8_t, 6> fmspc{};
  std::array<std::uint8_t, 2> pce_id{};
  TdxModule module;  ///< of modules with major version 0; TDX only
  std::vector<TdxModuleIdentity> module_identities;
  std::vector<TcbLevel> levels;  ///< highest first
};

struct QeIdentity {
  UnixTime issued_at = 0;
  UnixTime next_update = 0;
  std::uint32_t evaluation_number = 0;
  std::array<std::uint8_t, 4> miscselect{};
  std::array<std::uint8_t, 4> miscselect_mask{};
  std::array<std::uint8_t, 16> attributes{};
  std::array<std::uint8_t, 16> attributes_mask{};
  std::array<std::uint8_t, 32> mrsigner{};
  std::uint16_t isv_prod_id = 0;
  std::vector<SvnLevel> levels;  ///< highest first
};

enum class CollateralError : std::uint8_t {
  TooLarge,
  Malformed,
  WrongTee,  ///< of the other TEE, or of a version we do not know
  BadChain,  ///< issuer chain
  BadSignature,
  NotYetValid,
  Expired,
};

std::string_view to_string(CollateralError error);

Result<TcbInfo, CollateralError> parse_tcb_info(std::string_view text, IntelTee tee);
Result<QeIdentity, CollateralError> parse_qe_identity(std::string_view text, IntelTee tee);

}  // namespace nostril::attestation
