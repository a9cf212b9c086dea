#include "attestation/pack.h"

#include "attestation/fold.h"
#include "attestation/vendor_documents.h"
#include "base/base64.h"
#include "base/base85.h"
#include "base/hex.h"
#include "schnorr/hash.h"
#include "tests/attestation/fixtures.h"
#include "tests/attestation/gpu_fixtures.h"
#include "tests/support/shared_data.h"

#include <gtest/gtest.h>

#include <zstd.h>

#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

namespace nostril::attestation {
namespace {

Evidence evidence() {
  return test::sound_evidence(test::simulator());
}

Bytes compress(ByteSpan data) {
  Bytes out(ZSTD_compressBound(data.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

std::string pack_container(const Bytes& container) {
  return encode_base85(compress(container));
}

Bytes container_of(const Evidence& wanted) {
  const Bytes frame = decode_base85(pack_evidence(wanted)).value();
  Bytes out(ZSTD_getFrameContentSize(frame.data(), frame.size()));
  EXPECT_EQ(ZSTD_decompress(out.data(), out.size(), frame.data(), frame.size()), out.size());
  return out;
}

PackError error_of(const std::string& packed, const PackLimits& limits = {}) {
  const auto result = unpack_evidence(packed, limits);
  EXPECT_FALSE(result.has_value());
  return result ? PackError::TooLarge : result.error();
}

TEST(PackEvidence, RoundTripsWithAndWithoutItsParts) {
  Evidence full = evidence();
  full.gpu_reports = {Bytes{1, 2, 3}, Bytes{}, Bytes(5000, 9)};
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
  full.collateral.reset();
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
  full.gpu_reports.clear();
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
}

TEST(PackEvidence, IsSmallEnoughForOneEvent) {
  // Relays commonly take 64 KiB of content.
  EXPECT_LT(pack_evidence(evidence()).size(), 16U << 10U);
}

TEST(UnpackEvidence, RefusesEveryTruncationOfTheContainer) {
  const Bytes container = container_of(evidence());
  Evidence without = evidence();
  without.collateral.reset();
  const std::size_t whole_without = container_of(without).size();
  for (std::size_t size = 0; size < container.size(); size += size < 700 ? 1 : 37) {
    if (size == whole_without) continue;  // that is evidence without collateral
    const Bytes cut(container.begin(), container.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_EQ(error_of(pack_container(cut)), PackError::BadContainer) << size;
  }
}

TEST(UnpackEvidence, RefusesOtherMagicVersionTypesAndOrder) {
  const Bytes container = container_of(evidence());
  for (const std::size_t offset : {0U, 3U, 4U, 5U, 6U, 9U}) {
    Bytes changed = container;
    changed.at(offset) ^= 1;
    EXPECT_EQ(error_of(pack_container(changed)), PackError::BadContainer) << offset;
  }
  Bytes longer = container;
  longer.insert(longer.end(), {99, 0, 0, 0, 0});
  EXPECT_EQ(error_of(pack_container(longer)), PackError::BadContainer);
}

TEST(UnpackEvidence, RefusesTooManyGpuReports) {
  Evidence most = evidence();
  most.collateral.reset();
  most.gpu_reports.assign(kGpuReportCountMax, Bytes{1});
  Bytes container = container_of(most);
  EXPECT_TRUE(unpack_evidence(pack_container(container)));
  container.insert(container.end(), {4, 0, 0, 0, 1, 1});
  EXPECT_EQ(error_of(pack_container(container)), PackError::BadContainer);
}

/// Types whose bytes are folded in version 2.
bool is_folded(std::uint8_t type) {
  constexpr std::string_view kTypes = "\x03\x06\x10\x12\x13\x15\x18\x19\x1b\x1d\x1e";
  return kTypes.find(static_cast<char>(type)) != std::string_view::npos;
}

void append_section(Bytes& out, std::uint8_t type, ByteSpan bytes) {
  out.push_back(type);
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    out.push_back(static_cast<std::uint8_t>(bytes.size() >> shift));
  }
  out.insert(out.end(), bytes.begin(), bytes.end());
}

/// The same evidence in version 1, whose texts are plain.
Bytes version_1(const Evidence& wanted) {
  const Bytes container = container_of(wanted);
  Bytes out(container.begin(), container.begin() + 4);
  out.push_back(1);
  ByteSpan rest = ByteSpan(container).subspan(5);
  while (!rest.empty()) {
    const std::uint8_t type = rest[0];
    const std::size_t size = std::size_t{rest[1]} << 24U | std::size_t{rest[2]} << 16U |
                             std::size_t{rest[3]} << 8U | rest[4];
    const ByteSpan bytes = rest.subspan(5, size);
    append_section(
        out, type,
        is_folded(type) ? unfold(bytes, 1U << 20U).value() : Bytes(bytes.begin(), bytes.end()));
    rest = rest.subspan(5 + size);
  }
  return out;
}

TEST(UnpackEvidence, ReadsVersion1InBase64AndNeitherInTheOthersText) {
  Evidence full = evidence();
  full.app = AppDocuments{"[]", "{}", {}};
  full.gpu_reports = {Bytes{1}};
  full.gpu_manifests = {Bytes{2}};
  EXPECT_EQ(unpack_evidence(encode_base64(compress(version_1(full)))).value(), full);
  EXPECT_EQ(error_of(encode_base85(compress(version_1(full)))), PackError::BadContainer);
  EXPECT_EQ(error_of(encode_base64(compress(container_of(full)))), PackError::BadContainer);
  Bytes named = version_1(full);
  full.collateral.reset();
  full.app.reset();
  named = version_1(full);
  ASSERT_TRUE(unpack_evidence(encode_base64(compress(named))));
  Bytes document(34, 9);
  document.push_back('n');
  append_section(named, 10, document);
  EXPECT_EQ(error_of(encode_base64(compress(named))), PackError::BadContainer);
}

Bytes corpus(const std::string& name) {
  const std::string text = nostril::test::read_source("tests/fuzz/corpus/attestation/pack/" + name);
  return {text.begin(), text.end()};
}

/// Those with "-2" were written by a program of their own, in Python, from the page in spec/.
TEST(UnpackEvidence, ReadsWhatAnotherProgramFolded) {
  for (const std::string name : {"container", "board-container", "app-container"}) {
    const auto plain = unpack_evidence(encode_base64(compress(corpus(name))));
    ASSERT_TRUE(plain) << name;
    EXPECT_EQ(unpack_evidence(pack_container(corpus(name + "-2"))).value(), *plain) << name;
    EXPECT_EQ(container_of(*plain), corpus(name + "-2")) << name;
  }
}

TEST(UnpackEvidence, RefusesATextThatIsNotFoldedAsItMustBe) {
  Evidence bare = evidence();
  bare.collateral.reset();
  Bytes container = container_of(bare);
  const std::string digits(64, 'a');
  Bytes literal = {64};
  literal.insert(literal.end(), digits.begin(), digits.end());
  Bytes wrong = container;
  append_section(wrong, 24, literal);
  EXPECT_EQ(error_of(pack_container(wrong)), PackError::BadContainer);
  append_section(container, 24, fold(as_bytes(digits)));
  EXPECT_EQ(unpack_evidence(pack_container(container))->app->event_log, digits);
}

/// Sound evidence without collateral, then these sections: type and text.
std::string pack_with(const std::vector<std::pair<std::uint8_t, std::string>>& sections) {
  Evidence bare = evidence();
  bare.collateral.reset();
  Bytes container = container_of(bare);
  for (const auto& [type, text] : sections) {
    const Bytes folded = is_folded(type) ? fold(as_bytes(text)) : Bytes(text.begin(), text.end());
    append_section(container, type, folded);
  }
  return pack_container(container);
}

TEST(UnpackEvidence, TakesTheApplicationsTextsInOneOrderAndNeverEmpty) {
  const auto all = unpack_evidence(pack_with({{24, "[]"}, {25, "{}"}, {29, "m"}, {30, "{}"}}));
  ASSERT_TRUE(all.has_value());
  EXPECT_EQ(all->app, (AppDocuments{"[]", "{}", "{}"}));
  EXPECT_EQ(all->manifest, "m");
  EXPECT_EQ(unpack_evidence(pack_with({{24, "[]"}}))->app, (AppDocuments{"[]", {}, {}}));
  EXPECT_EQ(unpack_evidence(pack_with({{29, "m"}}))->app, std::nullopt);
  for (const auto& sections : std::vector<std::vector<std::pair<std::uint8_t, std::string>>>{
           {{24, ""}},
           {{24, "[]"}, {25, ""}},
           {{24, "[]"}, {30, ""}},
           {{25, "{}"}},
           {{30, "{}"}},
           {{29, "m"}, {30, "{}"}},
           {{24, "[]"}, {24, "[]"}},
           {{25, "{}"}, {24, "[]"}},
           {{24, "[]"}, {30, "{}"}, {25, "{}"}},
           {{24, "[]"}, {30, std::string(kMrConfigBytesMax + 1, ' ')}},
       }) {
    EXPECT_EQ(error_of(pack_with(sections)), PackError::BadContainer);
  }
}

TEST(UnpackEvidence, TakesSwitchesAndOcspAnswersBesideGpusOnly) {
  Evidence full = evidence();
  full.gpu_reports = {Bytes{1}};
  full.gpu_manifests = {Bytes{2}};
  full.switch_reports = {Bytes{3}, Bytes{4}};
  full.switch_chains = {Bytes{5}, Bytes{6}};
  full.ocsp_answers = {Bytes{7}, Bytes{8}};
  EXPECT_EQ(unpack_evidence(pack_evidence(full)).value(), full);
  for (const auto& sections : std::vector<std::vector<std::pair<std::uint8_t, std::string>>>{
           {{7, "r"}},
           {{9, "o"}},
           {{4, "g"}, {8, "c"}},
           {{4, "g"}, {7, "r"}, {8, "c"}, {8, "c"}},
           {{4, "g"}, {9, "o"}, {7, "r"}},
           {{4, "g"}, {7, "r"}, {6, "m"}},
       }) {
    EXPECT_EQ(error_of(pack_with(sections)), PackError::BadContainer);
  }
  const auto of_answers = [](std::size_t count) {
    std::vector<std::pair<std::uint8_t, std::string>> out = {{4, "g"}};
    out.insert(out.end(), count, {9, "o"});
    return pack_with(out);
  };
  EXPECT_TRUE(unpack_evidence(of_answers(kOcspCountMax)));
  EXPECT_EQ(error_of(of_answers(kOcspCountMax + 1)), PackError::BadContainer);
}

/// Section 10: kind, a digest, a name.
std::pair<std::uint8_t, std::string> named(DocumentKind kind, const std::string& name) {
  return {10, std::string(1, static_cast<char>(kind)) + std::string(32, 'd') + name};
}

TEST(UnpackEvidence, TakesNamesOfDocumentsWhereThePartsWouldBe) {
  const auto manifest = named(DocumentKind::Manifest, "NV_GPU_DRIVER_GH100_550.90.07");
  const auto ocsp = named(DocumentKind::OcspAnswers, "nvidia-ocsp");
  const auto intel = named(DocumentKind::Collateral, "intel-tdx-90c06f000000");
  const auto all = unpack_evidence(pack_with({{4, "g"}, manifest, manifest, ocsp, intel}));
  ASSERT_TRUE(all);
  ASSERT_EQ(all->documents.size(), 4U);
  EXPECT_EQ(all->documents[0].name, "NV_GPU_DRIVER_GH100_550.90.07");
  EXPECT_EQ(all->documents[3].kind, DocumentKind::Collateral);
  EXPECT_EQ(unpack_evidence(pack_evidence(*all)).value(), *all);
  EXPECT_TRUE(unpack_evidence(pack_with({intel}))) << "a machine without GPUs";
  for (const auto& sections : std::vector<std::vector<std::pair<std::uint8_t, std::string>>>{
           {manifest},
           {ocsp},
           {intel, intel},
           {{4, "g"}, ocsp, ocsp},
           {{4, "g"}, ocsp, manifest},
           {{4, "g"}, intel, manifest},
           {{4, "g"}, {6, "m"}, manifest},
           {{4, "g"}, {9, "o"}, ocsp},
           {{4, "g"}, manifest, manifest, manifest, manifest, manifest},
           {{4, "g"}, manifest, {6, "m"}},
           {named(DocumentKind{7}, "x")},
           {named(DocumentKind::Collateral, "")},
           {named(DocumentKind::Collateral, std::string(65, 'x'))},
           {named(DocumentKind::Collateral, "a b")},
           {named(DocumentKind::Collateral, "a/b")},
           {{10, std::string(1, '\x10') + std::string(31, 'd')}},
       }) {
    EXPECT_EQ(error_of(pack_with(sections)), PackError::BadContainer);
  }
  Evidence held = evidence();
  const Bytes container = container_of(held);
  held.documents = all->documents;
  held.documents.erase(held.documents.begin(), held.documents.begin() + 3);
  EXPECT_FALSE(within_limits(held)) << "collateral held and named";
}

// ---- what is named, and put back ----

class Documents : public ::testing::Test {
 protected:
  Documents() {
    const GpuSimulator gpus = test::gpu_simulator();
    for (const GpuEvidence& gpu : gpus.evidence(2, test::filled(0x66))) {
      whole_.gpu_reports.push_back(gpu.report);
      whole_.gpu_chains.push_back(gpu.chain);
    }
    whole_.gpu_manifests = gpus.manifests();
    whole_.ocsp_answers = gpus.ocsp_answers(0, {});
    lean_ = whole_;
    documents_ = take_documents(lean_);
  }

  /// As a client that has all but the one of that index.
  [[nodiscard]] Evidence put_all_but(std::size_t left_out) const {
    Evidence out = unpack_evidence(pack_evidence(lean_)).value();
    put_documents(out, [&](const Digest& digest) -> const Bytes* {
      for (std::size_t i = 0; i < documents_.size(); ++i) {
        if (i != left_out && documents_[i].named.sha256 == digest) return &documents_[i].bytes;
      }
      return nullptr;
    });
    return out;
  }

  Evidence whole_ = evidence();
  Evidence lean_;
  std::vector<VendorDocument> documents_;
};

TEST_F(Documents, AreTakenOutUnderTheirVendorsNamesAndPutBackAsTheyWere) {
  std::vector<std::string> names;
  for (const VendorDocument& document : documents_) {
    names.push_back(document.named.name);
    EXPECT_EQ(sha256(ByteSpan(document.bytes)), document.named.sha256);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"NV_GPU_DRIVER_GH100_550.90.07",
                                             "NV_GPU_VBIOS_SIM_0000_000_96009F0001", "nvidia-ocsp",
                                             "intel-tdx-514d00000000"}));
  EXPECT_EQ(documents_[0].bytes, whole_.gpu_manifests[0]) << "the XML itself";
  EXPECT_TRUE(lean_.gpu_manifests.empty() && lean_.ocsp_answers.empty() && !lean_.collateral);
  EXPECT_EQ(put_all_but(documents_.size()), whole_);
}

TEST_F(Documents, EachOneThatIsMissingIsNamedAndRefused) {
  Policy policy = test::simulated_policy();
  policy.allow_unchecked_tcb = true;
  policy.gpu.allow_missing_rims = true;
  for (std::size_t i = 0; i < documents_.size(); ++i) {
    const Evidence partial = put_all_but(i);
    ASSERT_EQ(partial.documents.size(), 1U);
    const Verdict verdict =
        verify(partial, partial.statement,
               test::roots_of(test::simulator()).joined(test::roots_of(test::gpu_simulator())),
               test::kNow, policy);
    EXPECT_FALSE(verdict.accepted);
    const Check* check = verdict.find("documents");
    ASSERT_NE(check, nullptr);
    EXPECT_TRUE(refuses(*check));
    EXPECT_NE(check->found.find(documents_[i].named.name), std::string::npos) << check->found;
    EXPECT_NE(check->found.find(encode_hex(documents_[i].named.sha256)), std::string::npos);
  }
}

TEST_F(Documents, OtherBytesAreNeverPutInAPlace) {
  for (const VendorDocument& document : documents_) {
    Evidence out = lean_;
    Bytes changed = document.bytes;
    changed[changed.size() / 2] ^= 1;
    put_documents(out, [&changed](const Digest&) { return &changed; });
    EXPECT_EQ(out, lean_) << "another digest";
  }
  // The digest is right, and it is no such document.
  for (const DocumentKind kind : {DocumentKind::OcspAnswers, DocumentKind::Collateral}) {
    const Bytes junk = {9, 0, 0, 0, 1, 'o', 9};
    Evidence out = lean_;
    out.documents = {{kind, "junk", sha256(ByteSpan(junk))}};
    const Evidence before = out;
    put_documents(out, [&junk](const Digest&) { return &junk; });
    EXPECT_EQ(out, before);
  }
}

TEST(UnpackEvidence, RefusesWhatIsNeitherBase85NorBase64) {
  std::string packed = pack_evidence(evidence());
  packed[10] = '"';
  EXPECT_EQ(error_of(packed), PackError::BadText);
  EXPECT_EQ(error_of(pack_evidence(evidence()) + "\n"), PackError::BadText);
}

TEST(UnpackEvidence, RefusesFramesThatHideTheirSizeOrCarryMore) {
  const Bytes container = container_of(evidence());
  Bytes frame = compress(container);
  frame.push_back(0);
  EXPECT_EQ(error_of(encode_base85(frame)), PackError::BadZstd);
  Bytes two = compress(container);
  const Bytes second = compress(Bytes{1});
  two.insert(two.end(), second.begin(), second.end());
  EXPECT_EQ(error_of(encode_base85(two)), PackError::BadZstd);
  EXPECT_EQ(error_of(""), PackError::BadZstd);

  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  Bytes unsized(ZSTD_compressBound(container.size()));
  unsized.resize(
      ZSTD_compress2(context, unsized.data(), unsized.size(), container.data(), container.size()));
  ZSTD_freeCCtx(context);
  EXPECT_EQ(error_of(encode_base85(unsized)), PackError::BadZstd);
}

TEST(UnpackEvidence, RefusesBombsBeforeDecompressing) {
  const Bytes zeros((4U << 20U) + 1, 0);
  EXPECT_EQ(error_of(pack_container(zeros)), PackError::TooLarge);
  const Bytes within(4U << 20U, 0);
  EXPECT_EQ(error_of(pack_container(within)), PackError::BadContainer);
  PackLimits tiny;
  tiny.packed_bytes_max = 100;
  EXPECT_EQ(error_of(pack_evidence(evidence()), tiny), PackError::TooLarge);
  tiny = {};
  tiny.container_bytes_max = 100;
  EXPECT_EQ(error_of(pack_evidence(evidence()), tiny), PackError::TooLarge);
}

TEST(UnpackEvidence, NeverCrashesOnFlippedBytes) {
  const Bytes container = container_of(evidence());
  for (std::size_t offset = 0; offset < container.size(); offset += 11) {
    Bytes changed = container;
    changed[offset] ^= 0xff;
    const auto result = unpack_evidence(pack_container(changed));
    if (result) {
      EXPECT_NE(*result, evidence()) << offset;
    }
  }
}

}  // namespace
}  // namespace nostril::attestation
