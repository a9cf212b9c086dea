#include "attestation/model_manifest.h"

#include "attestation/pack.h"
#include "base/hex.h"
#include "tests/attestation/fixtures.h"

#include <gtest/gtest.h>

#include <functional>

namespace nostril::attestation {
namespace {

using test::kNow;

Bytes pattern(std::size_t size) {
  Bytes out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 31 + i / 4096);
  return out;
}

/// RFC 6962, section 2.1, as it is written: the slow twin.
Digest tree_hash(const std::vector<Bytes>& leaves, std::size_t first, std::size_t count) {
  if (count == 0) return sha256(ByteSpan());
  const auto marked = [](std::uint8_t mark, ByteSpan a, ByteSpan b) {
    Bytes joined = {mark};
    joined.insert(joined.end(), a.begin(), a.end());
    joined.insert(joined.end(), b.begin(), b.end());
    return sha256(joined);
  };
  if (count == 1) return marked(0, leaves.at(first), {});
  std::size_t left = 1;
  while (left * 2 < count) left *= 2;
  const Digest l = tree_hash(leaves, first, left);
  const Digest r = tree_hash(leaves, first + left, count - left);
  return marked(1, l.bytes, r.bytes);
}

TEST(MerkleRoot, IsRfc6962sForEveryNumberOfLeaves) {
  std::vector<Bytes> leaves;
  MerkleRoot tree;
  for (std::size_t i = 0; i < 70; ++i) {
    EXPECT_EQ(tree.root(), tree_hash(leaves, 0, leaves.size())) << i;
    leaves.push_back(pattern(i));
    tree.add(leaf_digest(leaves.back()));
  }
}

TEST(FileRoot, IsTheSameHoweverTheFileComes) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kManifestLeafBytes - 1, kManifestLeafBytes,
        kManifestLeafBytes + 1, 3 * kManifestLeafBytes + 17}) {
    const Bytes file = pattern(size);
    std::vector<Bytes> leaves;
    for (std::size_t at = 0; at < size; at += kManifestLeafBytes) {
      const auto part = ByteSpan(file).subspan(at, std::min(kManifestLeafBytes, size - at));
      leaves.emplace_back(part.begin(), part.end());
    }
    const Digest wanted = tree_hash(leaves, 0, leaves.size());
    for (const std::size_t piece : {std::size_t{65'521}, kManifestLeafBytes, size + 1}) {
      FileRoot root;
      for (std::size_t at = 0; at < size; at += piece) {
        root.update(ByteSpan(file).subspan(at, std::min(piece, size - at)));
      }
      EXPECT_EQ(root.finish(), wanted) << size << " in " << piece;
    }
  }
}

ModelManifest two_files() {
  ModelManifest out;
  out.files = {{"a.json", 0, sha256(ByteSpan())}, {"w/b 1.bin", 12, leaf_digest(Bytes(12))}};
  return out;
}

TEST(Manifest, TextIsWhatTheSpecSays) {
  const std::string text = print_manifest(two_files());
  EXPECT_EQ(text,
            "nostril-manifest 2\n"
            "leaf 1048576\n"
            "file e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 a.json\n"
            "file " +
                encode_hex(sha256(Bytes(13))) + " 12 w/b 1.bin\n");
  EXPECT_EQ(parse_manifest(text), two_files());
  EXPECT_EQ(manifest_digest(text), tagged_hash("nostril/manifest/2", as_bytes(text)));
  EXPECT_EQ(parse_manifest(print_manifest({})), ModelManifest{});
}

TEST(Manifest, HasOneTextOnly) {
  const std::string text = print_manifest(two_files());
  const auto refused = [](std::string changed) { return !parse_manifest(changed); };
  for (std::size_t size = 0; size < text.size(); ++size) {
    const bool whole_lines = size > 30 && text[size - 1] == '\n';
    EXPECT_EQ(refused(text.substr(0, size)), !whole_lines) << size;
  }
  const auto replaced = [&text](const std::string& from, const std::string& to) {
    std::string out = text;
    return out.replace(out.find(from), from.size(), to);
  };
  EXPECT_TRUE(refused(replaced("e3b0", "E3B0")));
  EXPECT_TRUE(refused(replaced(" 12 ", " 012 ")));
  EXPECT_TRUE(refused(replaced(" 12 ", " +12 ")));
  EXPECT_TRUE(refused(replaced(" 12 ", " 18446744073709551616 ")));
  EXPECT_TRUE(refused(replaced(" 12 ", "  12 ")));
  EXPECT_TRUE(refused(replaced("a.json", "z.json"))) << "out of order";
  EXPECT_TRUE(refused(replaced("a.json", "w/b 1.bin"))) << "twice";
  EXPECT_TRUE(refused(replaced("\nfile", "\r\nfile")));
  EXPECT_TRUE(refused(replaced("manifest 2", "manifest 1")));
  EXPECT_TRUE(refused(replaced("1048576", "4096")));
  EXPECT_TRUE(refused(text + "\n"));
}

TEST(Manifest, NamesStayBelowTheFolder) {
  for (const char* name :
       {"", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\tb", "a\nb", "\xc3\xa4"}) {
    EXPECT_FALSE(is_manifest_name(name)) << name;
  }
  for (const char* name : {"a", "...", "a/b", " a", ".git/x"}) EXPECT_TRUE(is_manifest_name(name));
  EXPECT_FALSE(is_manifest_name(std::string(256, 'a')));
  EXPECT_TRUE(is_manifest_name(std::string(255, 'a')));
}

// ---- In evidence --------------------------------------------------------------------------------

TEST(ManifestInEvidence, MustBeWhatTheStatementCommitsTo) {
  const Simulator sim = test::simulator();
  Statement stated = test::statement();
  stated.model_manifest = manifest_digest(print_manifest(two_files()));
  Evidence evidence = sim.evidence(stated, kNow, test::measurements());
  const auto judge = [&] {
    return verify(evidence, stated, test::roots_of(sim), kNow, test::simulated_policy());
  };
  EXPECT_EQ(test::status_of(judge(), "manifest"), CheckStatus::NotChecked);
  EXPECT_TRUE(judge().accepted);
  evidence.manifest = print_manifest(two_files());
  const Verdict verdict = judge();
  EXPECT_TRUE(verdict.accepted) << explain(verdict);
  EXPECT_EQ(test::status_of(verdict, "manifest"), CheckStatus::Passed);
  ASSERT_NE(verdict.claim("manifest.bytes"), nullptr);
  EXPECT_EQ(std::get<std::int64_t>(verdict.claim("manifest.bytes")->value), 12);
  evidence.manifest = print_manifest({});
  EXPECT_FALSE(judge().accepted) << "another manifest";
  evidence.manifest = "rubbish";
  EXPECT_FALSE(judge().accepted);
  stated.model_manifest = manifest_digest("rubbish");
  evidence = sim.evidence(stated, kNow, test::measurements());
  evidence.manifest = "rubbish";
  EXPECT_FALSE(judge().accepted) << "bound, but no manifest";
}

TEST(ManifestInEvidence, RoundTripsThroughThePack) {
  Evidence evidence = test::sound_evidence(test::simulator());
  evidence.manifest = print_manifest(two_files());
  EXPECT_EQ(unpack_evidence(pack_evidence(evidence)).value(), evidence);
  evidence.manifest = std::string(kManifestTextBytesMax + 1, 'x');
  EXPECT_FALSE(within_limits(evidence));
}

}  // namespace
}  // namespace nostril::attestation
