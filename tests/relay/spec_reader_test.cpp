// Reads a file that nostril-relay wrote with nothing but spec/09-store.md, liblmdb, zstd and
// SHA-256: it includes nothing of relay/store, so the page must say everything.
#include "events/event.h"
#include "schnorr/keys.h"
#include "tests/relay/log_maker.h"
#include "tests/support/shared_data.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <lmdb.h>
#include <stdlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace nostril {

namespace {

using Table = std::map<std::string, std::string>;

constexpr std::array<const char*, 15> kTableNames = {
    "meta",      "dictionaries", "records",           "by_id",    "by_time",
    "by_kind",   "by_author",    "by_author_kind",    "by_tag",   "by_address",
    "by_expiry", "deleted_ids",  "deleted_addresses", "vanished", "vanishing"};

void must(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error(what);
}

std::uint64_t integer(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<std::uint8_t>(c);
  return value;
}

std::string big_endian(std::uint64_t value, std::size_t bytes) {
  std::string out(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) out[bytes - 1 - i] = static_cast<char>(value >> (8 * i));
  return out;
}

std::string sha256_of(const std::string& text) {
  std::string digest(32, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    for (const int shift : {4, 0})
      out += "0123456789abcdef"[static_cast<std::uint8_t>(c) >> shift & 15];
  }
  return out;
}

// The 32 bytes of 64 lowercase hex characters.
std::optional<std::string> unhex(const std::string& text) {
  if (text.size() != 64) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < 64; i += 2) {
    unsigned byte = 0;
    for (const char c : {text[i], text[i + 1]}) {
      const std::size_t digit = std::string_view("0123456789abcdef").find(c);
      if (digit == std::string_view::npos) return std::nullopt;
      byte = byte * 16 + static_cast<unsigned>(digit);
    }
    out += static_cast<char>(byte);
  }
  return out;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const std::size_t special = std::string_view("\"\\\b\t\n\f\r").find(c);
    if (special != std::string_view::npos) {
      out += {'\\', "\"\\btnfr"[special]};
    } else if (static_cast<std::uint8_t>(c) < 0x20) {
      out += "\\u00" + hex(std::string(1, c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

struct Record {
  std::string id;
  std::string pubkey;
  std::string sig;
  std::uint64_t created_at = 0;
  std::uint64_t kind = 0;
  std::optional<std::uint64_t> expiration;
  std::vector<std::vector<std::string>> tags;
  std::string content;
  bool is_packed = false;

  [[nodiscard]] std::string json() const {
    std::string out = "{\"id\":\"" + hex(id) + "\",\"pubkey\":\"" + hex(pubkey) +
                      "\",\"created_at\":" + std::to_string(created_at) +
                      ",\"kind\":" + std::to_string(kind) + ",\"tags\":[";
    for (const auto& tag : tags) {
      out += &tag == &tags.front() ? "[" : ",[";
      for (const auto& element : tag)
        out += (&element == &tag.front() ? "" : ",") + quoted(element);
      out += "]";
    }
    return out + "],\"content\":" + quoted(content) + ",\"sig\":\"" + hex(sig) + "\"}";
  }

  [[nodiscard]] std::optional<std::string> d() const {
    for (const auto& tag : tags) {
      if (tag[0] == "d") return tag.size() > 1 ? tag[1] : "";
    }
    return "";
  }
};

class RecordBytes {
 public:
  explicit RecordBytes(std::string_view rest) : rest_(rest) {}

  std::string take(std::size_t size) {
    must(size <= rest_.size(), "a length over the end");
    const std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }

  std::size_t varint() {
    std::size_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1)[0]);
      value |= static_cast<std::size_t>(byte & 127U) << shift;
      if ((byte & 128U) == 0) return value;
    }
  }

  std::string all() { return take(rest_.size()); }

  // Nothing at the end.
  std::string take_if_any(std::size_t size) { return rest_.empty() ? "" : take(size); }

 private:
  std::string_view rest_;
};

std::string unpacked(RecordBytes& in, const Table& dictionaries) {
  const auto row = dictionaries.find(in.take(1));
  must(row != dictionaries.end(), "unknown dictionary");
  const std::string bytes = row->second.substr(38);
  must(sha256_of(bytes) == row->second.substr(0, 32), "damaged dictionary");
  std::string text(in.varint(), '\0');
  const std::string frame = in.all();
  ZSTD_DCtx* context = ZSTD_createDCtx();
  const std::size_t size = ZSTD_decompress_usingDict(
      context, text.data(), text.size(), frame.data(), frame.size(), bytes.data(), bytes.size());
  ZSTD_freeDCtx(context);
  must(ZSTD_isError(size) == 0 && size == text.size(), "bad frame");
  return text;
}

Record parse_record(const std::string& bytes, const Table& dictionaries) {
  RecordBytes in(bytes);
  Record record;
  must(in.take(1) == "\x01", "record version");
  const auto flags = static_cast<unsigned>(in.take(1)[0]);
  must(flags < 4, "flags");
  record.id = in.take(32);
  record.pubkey = in.take(32);
  record.sig = in.take(64);
  record.created_at = integer(in.take(6));
  record.kind = integer(in.take(2));
  if ((flags & 2) != 0) record.expiration = integer(in.take(6));
  for (std::size_t tags = in.varint(); tags > 0; --tags) {
    std::vector<std::string> tag;
    for (std::size_t elements = in.varint(); elements > 0; --elements) {
      const std::size_t header = in.varint();
      tag.push_back(header == 0 ? hex(in.take(32)) : in.take(header - 1));
    }
    record.tags.push_back(std::move(tag));
  }
  record.is_packed = (flags & 1) != 0;
  record.content = record.is_packed ? unpacked(in, dictionaries) : in.all();
  return record;
}

// All tables of a file.
std::map<std::string, Table> read_file_tables(const std::filesystem::path& path) {
  MDB_env* env = nullptr;
  must(mdb_env_create(&env) == 0 && mdb_env_set_maxdbs(env, 16) == 0 &&
           mdb_env_open(env, path.c_str(), MDB_RDONLY, 0600) == 0,
       "open");
  MDB_txn* txn = nullptr;
  must(mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn) == 0, "begin");
  std::map<std::string, Table> tables;
  for (const char* name : kTableNames) {
    MDB_dbi table = 0;
    MDB_cursor* cursor = nullptr;
    must(mdb_dbi_open(txn, name, 0, &table) == 0 && mdb_cursor_open(txn, table, &cursor) == 0,
         name);
    MDB_val key{};
    MDB_val value{};
    Table& rows = tables[name];
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
      rows.emplace(std::string(static_cast<char*>(key.mv_data), key.mv_size),
                   std::string(static_cast<char*>(value.mv_data), value.mv_size));
    }
    mdb_cursor_close(cursor);
  }
  MDB_dbi root = 0;
  MDB_stat stat{};
  must(mdb_dbi_open(txn, nullptr, 0, &root) == 0 && mdb_stat(txn, root, &stat) == 0, "root");
  must(stat.ms_entries == kTableNames.size(), "a table the page does not name");
  mdb_txn_abort(txn);
  mdb_env_close(env);
  return tables;
}

bool is_replaceable(std::uint64_t kind) {
  return kind == 0 || kind == 3 || (kind >= 10000 && kind < 20000);
}

bool is_addressable(std::uint64_t kind) {
  return kind >= 30000 && kind < 40000;
}

std::string address(const std::string& pubkey, std::uint64_t kind, const std::string& d) {
  return pubkey.substr(0, 16) + big_endian(kind, 2) + sha256_of(d).substr(0, 16);
}

std::string position(const Record& record, const std::string& sequence) {
  std::string tie = record.id.substr(0, 7);
  for (char& c : tie) c = static_cast<char>(~c);
  return big_endian(record.created_at, 6) + tie + sequence;
}

// The tables that the page demands for these records.
class Expected {
 public:
  void add(const Record& record, const std::string& sequence) {
    const std::string at = position(record, sequence);
    const std::string author = record.pubkey.substr(0, 8);
    const std::string kind = big_endian(record.kind, 2);
    tables_["by_id"][record.id.substr(0, 8) + sequence] = "";
    tables_["by_time"][at] = "";
    tables_["by_kind"][kind + at] = "";
    tables_["by_author"][author + at] = "";
    tables_["by_author_kind"][author + kind + at] = "";
    if (record.expiration) tables_["by_expiry"][big_endian(*record.expiration, 6) + sequence] = "";
    for (const auto& tag : record.tags) add_tag(tag, at);
    if (is_replaceable(record.kind))
      tables_["by_address"][address(record.pubkey, record.kind, "")] = sequence;
    if (is_addressable(record.kind)) {
      tables_["by_address"][address(record.pubkey, record.kind, *record.d())] = sequence;
    }
    if (record.kind == 5) add_deletion(record);
    if (record.kind == 62) add_vanished(record);
  }

  [[nodiscard]] Table& of(const char* name) { return tables_[name]; }

 private:
  void add_tag(const std::vector<std::string>& tag, const std::string& at) {
    if (tag.size() < 2 || tag[0].size() != 1 ||
        std::isalpha(static_cast<unsigned char>(tag[0][0])) == 0)
      return;
    const auto bytes = unhex(tag[1]);
    const std::string hash = bytes ? bytes->substr(25) : sha256_of(tag[1]).substr(0, 7);
    tables_["by_tag"][tag[0] + hash + at] = "";
  }

  void add_vanished(const Record& record) {
    for (const auto& tag : record.tags) {
      if (tag.size() < 2 || tag[0] != "relay" || tag[1] != "ALL_RELAYS") continue;
      std::string& until = tables_["vanished"][record.pubkey.substr(0, 16)];
      until = std::max(until, big_endian(record.created_at, 6));
    }
  }

  void add_deletion(const Record& record) {
    for (const auto& tag : record.tags) {
      if (tag.size() < 2) continue;
      const auto id = unhex(tag[1]);
      if (tag[0] == "e" && id) {
        tables_["deleted_ids"][id->substr(0, 16) + record.pubkey.substr(0, 16)] = "";
      }
      if (tag[0] != "a") continue;
      const std::size_t colon = tag[1].find(':');
      if (tag[1].substr(colon + 1, 64) != hex(record.pubkey)) continue;
      std::string& until = tables_["deleted_addresses"][address(
          record.pubkey, std::stoul(tag[1].substr(0, colon)), tag[1].substr(colon + 66))];
      until = std::max(until, big_endian(record.created_at, 6));
    }
  }

  std::map<std::string, Table> tables_;
};

class SpecReaderTest : public testing::Test {
 protected:
  // Runs nostril-relay on the store; what it wrote to standard output.
  std::string relay(const std::string& command, const std::string& input = "") {
    std::ofstream(dir_ / "input") << input;
    const std::string line = std::string(NOSTRIL_BIN_DIR) + "/nostril-relay " + command +
                             " --data " + (dir_ / "store").string() + " < " +
                             (dir_ / "input").string() + " > " + (dir_ / "output").string() +
                             " 2> " + (dir_ / "errors").string();
    const int status = std::system(line.c_str());  // NOLINT: our own paths
    EXPECT_EQ(status, 0) << line << "\n" << test::read_file(dir_ / "errors");
    return test::read_file(dir_ / "output");
  }

  void check_against_the_page(const std::filesystem::path& path, const std::string& exported) {
    auto tables = read_file_tables(path);
    if (tables["meta"].contains("given")) {
      EXPECT_LE(tables["meta"]["given"], tables["records"].rbegin()->first);
      tables["meta"].erase("given");
    }
    EXPECT_EQ(tables["meta"], (Table{{"format", big_endian(4, 4)}}));
    Expected expected;
    std::map<std::string, std::string> json_by_position;
    for (const auto& [sequence, bytes] : tables["records"]) {
      ASSERT_EQ(sequence.size(), 5U);
      const Record record = parse_record(bytes, tables["dictionaries"]);
      packed_ += record.is_packed ? 1U : 0U;
      expected.add(record, sequence);
      json_by_position[position(record, sequence)] = record.json();
    }
    for (const char* name :
         {"by_id", "by_time", "by_kind", "by_author", "by_author_kind", "by_tag", "by_address",
          "by_expiry", "deleted_ids", "deleted_addresses", "vanished"}) {
      EXPECT_TRUE(expected.of(name) == tables[name])
          << name << ": " << tables[name].size() << ", not " << expected.of(name).size();
      rows_[name] += tables[name].size();
    }
    std::string lines;
    for (const auto& [at, json] : json_by_position) lines += json + "\n";
    EXPECT_TRUE(lines == exported) << "the export differs";
  }

  const nostril::test::TempDir temp_;
  const std::filesystem::path dir_ = temp_.path();
  std::size_t packed_ = 0;
  std::map<std::string, std::size_t> rows_;  // seen, by table
};

// The records of `log` that are not in the tables, by the page; of a test that leaves some.
std::vector<std::string> read_log(const std::filesystem::path& path, const std::string& mark) {
  must(mark.size() == 40, "the mark in meta");
  const std::string log = test::read_file(path / "log");
  std::vector<std::string> events;
  std::size_t at = 0;
  for (std::uint64_t number = 1; at + 56 <= log.size(); ++number) {
    const std::size_t size = integer(log.substr(at, 4));
    if (size < 56 || size > log.size() - at) break;
    const std::string record = log.substr(at, size);
    std::string code(32, '\0');
    HMAC(EVP_sha256(), mark.data() + 8, 32, reinterpret_cast<const unsigned char*>(record.data()),
         size - 32, reinterpret_cast<unsigned char*>(code.data()), nullptr);
    if (record.substr(size - 32) != code ||
        integer(record.substr(4, 8)) != integer(mark.substr(0, 8)) + 1 ||
        integer(record.substr(12, 4)) != number) {
      break;
    }
    must(integer(record.substr(16, 8)) == 1700000000, "the time of judgement");
    RecordBytes in(std::string_view(record).substr(24, size - 56));
    for (std::string bytes; !(bytes = in.take_if_any(4)).empty();) {
      events.push_back(parse_record(in.take(integer(bytes)), {}).json() + "\n");
    }
    at += size;
  }
  return events;
}

std::string event_line(unsigned author, std::int64_t created_at, std::uint32_t kind, Tags tags,
                       std::string content) {
  Event event;
  event.pubkey.bytes.fill(static_cast<std::uint8_t>(author));
  event.created_at = created_at;
  event.kind = kind;
  event.tags = std::move(tags);
  event.content = std::move(content);
  event.id = compute_id(event);
  event.sig.bytes.fill(static_cast<std::uint8_t>(created_at));
  return to_json(event) + "\n";
}

std::string id_in(const std::string& line) {
  return line.substr(line.find("\"id\":\"") + 6, 64);
}

// Every kind of row, and contents of all sorts.
std::string made_events(std::int64_t from) {
  std::string lines = event_line(100, 900 + from, 1, {}, "of somebody who vanishes");
  lines += event_line(100, 1000 + from, 62, {{"relay", "ALL_RELAYS"}}, "");
  for (std::int64_t i = from; i < from + 400; ++i) {
    const std::string number = std::to_string(i);
    const auto author = static_cast<unsigned>(i % 7 + 1);
    std::string content =
        "number " + number + " says \"this\"\n\tto the \x01 relay \xf0\x9f\x98\x80 ";
    while (content.size() < static_cast<std::size_t>(i % 300)) content += "again and again ";
    const std::string line = event_line(author, 1000 + i / 3, i % 5 == 0 ? 30023 : 1,
                                        {{"d", std::to_string(i % 40)},
                                         {"e", std::string(64, "abcdef01"[i % 8]), "wss://x"},
                                         {"t", number},
                                         {"T"},
                                         {"", "x"},
                                         {"title", std::string(64, 'b')},
                                         {"q", std::string(64, 'B')}},
                                        content);
    lines += line;
    lines += event_line(author, 2000 + i, i % 2 == 0 ? 0 : 10002, {}, content);
    if (i % 3 == 0) {
      lines +=
          event_line(author, 3000 + i, 1, {{"expiration", std::to_string(4000000000 + i)}}, "");
    }
    if (i % 10 == 0) {
      lines += event_line(author, 4000 + i, 5,
                          {{"e", id_in(line)},
                           {"a", "30023:" + hex(std::string(32, static_cast<char>(author))) + ":" +
                                     std::to_string(i % 40)}},
                          "");
    }
  }
  return lines;
}

TEST_F(SpecReaderTest, FindsWhatTheRelayWroteByThePageAlone) {
  relay("import --no-verify", made_events(0));
  relay("dict train --samples 1000");
  relay("import --no-verify", made_events(400));
  const std::string exported = relay("export");
  check_against_the_page(dir_ / "store", exported);
  EXPECT_GT(packed_, 100U);
  for (const auto& [name, rows] : rows_) EXPECT_GT(rows, 0U) << name << " was not tried";
  relay("check");
  relay("compact --recompress --to " + (dir_ / "copy").string());
  packed_ = 0;
  check_against_the_page(dir_ / "copy", exported);
  EXPECT_GT(packed_, 300U);
  EXPECT_THAT(relay("dict list"), testing::StartsWith("dictionary 1 bytes "));
  EXPECT_THAT(relay("dict stats"), testing::HasSubstr("\ndictionary 1 records "));
  EXPECT_THAT(relay("stats"), testing::HasSubstr("table dictionaries entries 1 "));
}

TEST_F(SpecReaderTest, FindsInTheLogWhatTheTablesLack) {
  std::vector<std::string> left = test::leave_in_log((dir_ / "store").string(), 1700000000);
  ASSERT_GT(left.size(), 5U);
  auto tables = read_file_tables(dir_ / "store");
  EXPECT_EQ(integer(tables["meta"]["log"].substr(0, 8)), 1U);  // one epoch is in the tables
  EXPECT_EQ(tables["records"].size(), 1U);
  EXPECT_EQ(read_log(dir_ / "store", tables["meta"]["log"]), left);
  EXPECT_EQ(relay("export").size(), 0U) << "what had expired when it was exported";
  tables = read_file_tables(dir_ / "store");
  EXPECT_EQ(integer(tables["meta"]["log"].substr(0, 8)), 2U);
  EXPECT_EQ(tables["records"].size(), left.size() + 1);
  EXPECT_TRUE(read_log(dir_ / "store", tables["meta"]["log"]).empty());
}

TEST_F(SpecReaderTest, FindsRealEvents) {
  REQUIRE_SHARED("corpus/real-events.jsonl.zst");
  const std::string unpack = "zstd -dc '" +
                             test::shared_path("corpus/real-events.jsonl.zst").string() + "' > " +
                             (dir_ / "real").string();
  ASSERT_EQ(std::system(unpack.c_str()), 0);  // NOLINT: our own paths
  const std::string events = test::read_file(dir_ / "real");
  relay("import --no-verify", events.substr(0, events.size() / 2));
  relay("dict train");
  relay("import --no-verify", events);
  check_against_the_page(dir_ / "store", relay("export"));
  EXPECT_GT(packed_, 200U);
}

}  // namespace

}  // namespace nostril
