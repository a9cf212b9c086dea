#include "attestation/collateral.h"

#include <initializer_list>
#include <set>

namespace nostril::attestation {

namespace {

bool reaches_sgx(const SgxExtension& platform, const TcbLevel& level) {
  for (std::size_t i = 0; i < level.sgx.size(); ++i) {
    if (platform.component_svn.at(i) < level.sgx.at(i)) return false;
  }
  return platform.pce_svn >= level.pce_svn;
}

bool reaches_tdx(const TdReport& td, const TcbLevel& level) {
  // With a module version the first two components are the module's, which is judged on its own.
  const std::size_t from = td.tee_tcb_svn[1] > 0 ? 2 : 0;
  for (std::size_t i = from; i < level.tdx.size(); ++i) {
    if (td.tee_tcb_svn.at(i) < level.tdx.at(i)) return false;
  }
  return true;
}

/// The first level whose SGX part the platform reaches, and the first whose TDX part it reaches
/// too.
struct PlatformLevels {
  const TcbLevel* sgx = nullptr;
  const TcbLevel* tdx = nullptr;
};

PlatformLevels find_levels(const TcbInfo& info, const SgxExtension& platform, const TdReport& td) {
  PlatformLevels out;
  for (const TcbLevel& level : info.levels) {
    if (!reaches_sgx(platform, level)) continue;
    if (out.sgx == nullptr) out.sgx = &level;
    if (!reaches_tdx(td, level)) continue;
    out.tdx = &level;
    break;
  }
  return out;
}

const TdxModuleIdentity* find_module(const TcbInfo& info, std::uint8_t major_version) {
  for (const TdxModuleIdentity& identity : info.module_identities) {
    if (identity.major_version == major_version) return &identity;
  }
  return nullptr;
}

bool matches_module(const TdReport& td, const TdxModule& module) {
  constexpr std::array<std::uint8_t, 8> kNone{};
  return td.mrsignerseam == module.mrsigner && td.seam_attributes == module.attributes &&
         td.seam_attributes == kNone;
}

/// The module's level; null for modules of version 0, which are part of the platform's level.
Result<const SvnLevel*, TcbError> find_module_level(const TcbInfo& info, const TdReport& td) {
  const std::uint8_t major_version = td.tee_tcb_svn[1];
  if (major_version == 0) {
    if (!matches_module(td, info.module)) return failure(TcbError::ModuleMismatch);
    return nullptr;
  }
  const TdxModuleIdentity* identity = find_module(info, major_version);
  if (identity == nullptr) return failure(TcbError::ModuleUnknown);
  if (!matches_module(td, identity->module)) return failure(TcbError::ModuleMismatch);
  for (const SvnLevel& level : identity->levels) {
    if (td.tee_tcb_svn[0] >= level.isv_svn) return &level;
  }
  return failure(TcbError::ModuleNotSupported);
}

bool needs_configuration(TcbStatus status) {
  return status == TcbStatus::ConfigurationNeeded ||
         status == TcbStatus::ConfigurationAndSWHardeningNeeded ||
         status == TcbStatus::OutOfDateConfigurationNeeded;
}

bool is_current(TcbStatus status) {
  return status == TcbStatus::UpToDate || status == TcbStatus::SWHardeningNeeded ||
         status == TcbStatus::ConfigurationNeeded ||
         status == TcbStatus::ConfigurationAndSWHardeningNeeded;
}

/// TD 1.5: the machine's module was updated under a running TD; a relaunch makes it current.
Result<bool, TcbError> is_updated_since_launch(const TcbInfo& info, const TdReport& td) {
  const TcbLevel& newest = info.levels.front();
  const std::uint8_t major_version = td.tee_tcb_svn2[1];
  if (td.tee_tcb_svn2[2] < newest.tdx[2]) return false;
  if (major_version == 0) return td.tee_tcb_svn2[0] >= newest.tdx[0];
  const TdxModuleIdentity* identity = find_module(info, major_version);
  if (identity == nullptr) return failure(TcbError::ModuleUnknown);
  return td.tee_tcb_svn2[0] >= identity->levels.front().isv_svn;
}

/// Sorted, each once.
std::vector<std::string> join(std::initializer_list<const std::vector<std::string>*> lists) {
  std::set<std::string> out;
  for (const auto* list : lists) out.insert(list->begin(), list->end());
  return {out.begin(), out.end()};
}

}  // namespace

std::string_view to_string(TcbError error) {
  switch (error) {
    case TcbError::WrongPlatform:
      return "TCB info of another platform";
    case TcbError::NotSupported:
      return "TCB level not supported";
    case TcbError::ModuleUnknown:
      return "TDX module version unknown";
    case TcbError::ModuleNotSupported:
      return "TDX module level not supported";
    case TcbError::ModuleMismatch:
      return "TDX module signer or attributes";
  }
  return "unknown";
}

TcbStatus converge(TcbStatus a, TcbStatus part) {
  if (part == TcbStatus::Revoked) return TcbStatus::Revoked;
  if (part != TcbStatus::OutOfDate) return a;
  switch (a) {
    case TcbStatus::UpToDate:
    case TcbStatus::SWHardeningNeeded:
      return TcbStatus::OutOfDate;
    case TcbStatus::ConfigurationNeeded:
    case TcbStatus::ConfigurationAndSWHardeningNeeded:
      return TcbStatus::OutOfDateConfigurationNeeded;
    default:
      return a;
  }
}

Result<TcbEvaluation, TcbError> evaluate_tcb(const TcbInfo& info, const SgxExtension& platform,
                                             const TdReport& td, const SvnLevel& qe_level) {
  if (info.fmspc != platform.fmspc || info.pce_id != platform.pce_id) {
    return failure(TcbError::WrongPlatform);
  }
  const PlatformLevels levels = find_levels(info, platform, td);
  if (levels.tdx == nullptr) return failure(TcbError::NotSupported);
  const auto module = find_module_level(info, td);
  if (!module) return failure(module.error());

  TcbEvaluation out;
  out.date = levels.tdx->date;
  out.module_status = *module == nullptr ? TcbStatus::UpToDate : (*module)->status;
  out.status = converge(levels.tdx->status, out.module_status);
  const bool may_relaunch =
      td.is_td15 && qe_level.status == TcbStatus::UpToDate && is_current(levels.sgx->status) &&
      out.module_status == TcbStatus::OutOfDate &&
      (out.status == TcbStatus::OutOfDate || out.status == TcbStatus::OutOfDateConfigurationNeeded);
  if (may_relaunch) {
    const auto updated = is_updated_since_launch(info, td);
    if (!updated) return failure(updated.error());
    const bool configure =
        needs_configuration(levels.sgx->status) || needs_configuration(levels.tdx->status);
    if (*updated) {
      out.status = configure ? TcbStatus::TDRelaunchAdvisedConfigurationNeeded
                             : TcbStatus::TDRelaunchAdvised;
    }
  }
  out.status = converge(out.status, qe_level.status);

  const std::vector<std::string> none;
  out.advisories =
      join({&levels.tdx->advisories, *module == nullptr ? &none : &(*module)->advisories,
            &qe_level.advisories});
  return out;
}

Result<TcbEvaluation, TcbError> evaluate_sgx_tcb(const TcbInfo& info, const SgxExtension& platform,
                                                 const SvnLevel& qe_level) {
  if (info.fmspc != platform.fmspc || info.pce_id != platform.pce_id) {
    return failure(TcbError::WrongPlatform);
  }
  for (const TcbLevel& level : info.levels) {
    if (!reaches_sgx(platform, level)) continue;
    TcbEvaluation out;
    out.status = converge(level.status, qe_level.status);
    out.module_status = TcbStatus::UpToDate;
    out.date = level.date;
    out.advisories = join({&level.advisories, &qe_level.advisories});
    return out;
  }
  return failure(TcbError::NotSupported);
}

}  // namespace nostril::attestation
