#include "base/hex.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/signer.h"
#include "events/messages.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <stdexcept>

namespace nostril::client::cli {

namespace {

constexpr std::uint64_t kAnswerMsMax = 12'000;

/// NAME=VALUE[,VALUE…]; a value with a comma in it needs the JSON form of the event.
void add_tag(Tags& tags, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    throw std::runtime_error("a tag is NAME=VALUE[,VALUE…]: " + text);
  }
  tags.add_element(text.substr(0, equals));
  std::size_t at = equals + 1;
  for (;;) {
    const std::size_t comma = text.find(',', at);
    tags.add_element(text.substr(at, comma - at));
    if (comma == std::string::npos) break;
    at = comma + 1;
  }
  tags.finish_tag();
}

std::vector<Event> read_signed_events() {
  std::vector<Event> out;
  std::string line;
  for (std::size_t number = 1; std::getline(std::cin, line); ++number) {
    if (line.empty()) continue;
    auto event = parse_event(line);
    if (!event) {
      throw std::runtime_error(fmt::format("line {}: {}", number, to_string(event.error())));
    }
    out.push_back(event->event());
  }
  return out;
}

Event make_event(Process& process, const EventOptions& options, const std::filesystem::path& home) {
  UserSigner signer(process, options.key_file, home, options.ca_file);
  EventDraft draft;
  draft.created_at = process.clock.unix_s();
  draft.kind = static_cast<std::uint32_t>(options.kind);
  draft.content = options.content;
  for (const std::string& tag : options.tags) add_tag(draft.tags, tag);
  return signer.sign(std::move(draft));
}

int publish_all(Process& process, const EventOptions& options, const std::vector<Event>& events) {
  RelayPool pool(process.loop, process.clock, {}, options.ca_file);
  for (const std::string& relay : options.relays) {
    if (!pool.add_relay(relay)) throw std::runtime_error(relay + ": not a relay's URL");
  }
  std::size_t waiting = events.size();
  int status = 0;
  for (const Event& event : events) {
    const bool sent = pool.publish(event, [&, id = event.id](const PublishResult& result) {
      if (result.accepted) {
        fmt::print(stderr, "accepted {}\n", encode_hex(id));
      } else {
        status = 1;
        for (const std::string& refusal : result.refusals) {
          fmt::print(stderr, "nostril: {}: {}\n", encode_hex(id), refusal);
        }
      }
      if (--waiting == 0) process.loop.stop();
    });
    if (!sent) throw std::runtime_error("too many events at once");
  }
  if (waiting > 0) process.loop.run();
  return status;
}

Filter filter_from(const RequestOptions& options) {
  if (!options.filter.empty()) {
    auto filter = parse_filter(options.filter);
    if (!filter) throw std::runtime_error("filter: " + std::string(to_string(filter.error())));
    return *filter;
  }
  Filter filter;
  for (const std::string& text : options.ids) {
    const auto id = from_hex<EventId>(text);
    if (!id) throw std::runtime_error("not an event id: " + text);
    if (!filter.ids) filter.ids.emplace();
    filter.ids->push_back(*id);
  }
  for (const std::string& text : options.authors) {
    const auto author = from_hex<PublicKey>(text);
    if (!author) throw std::runtime_error("not a public key in hex: " + text);
    if (!filter.authors) filter.authors.emplace();
    filter.authors->push_back(*author);
  }
  for (const std::int64_t kind : options.kinds) {
    if (!filter.kinds) filter.kinds.emplace();
    filter.kinds->push_back(static_cast<std::uint32_t>(kind));
  }
  for (const std::string& text : options.tags) {
    if (text.size() < 3 || text[1] != '=') throw std::runtime_error("a tag is X=VALUE: " + text);
    filter.tags.push_back({text[0], {text.substr(2)}});
  }
  filter.since = options.since;
  filter.until = options.until;
  if (options.limit) filter.limit = static_cast<std::uint64_t>(*options.limit);
  // Through the parser: it sorts, and refuses what a relay would.
  std::string text;
  append_json(text, filter);
  auto checked = parse_filter(text);
  if (!checked) throw std::runtime_error("filter: " + std::string(to_string(checked.error())));
  return *checked;
}

}  // namespace

int event(Process& process, const std::filesystem::path& home, const EventOptions& options) {
  std::vector<Event> events;
  if (options.from_stdin) {
    events = read_signed_events();
  } else {
    events.push_back(make_event(process, options, home));
    fmt::print("{}\n", to_json(events.front()));
  }
  if (options.relays.empty() || events.empty()) return 0;
  return publish_all(process, options, events);
}

int request(Process& process, const RequestOptions& options) {
  const Filter filter = filter_from(options);
  RelayPool pool(process.loop, process.clock, {}, options.ca_file);
  for (const std::string& relay : options.relays) {
    if (!pool.add_relay(relay)) throw std::runtime_error(relay + ": not a relay's URL");
  }
  std::size_t ended = 0;
  int status = 0;
  SubscriptionCallbacks callbacks;
  callbacks.on_event = [](const VerifiedEvent& found) {
    fmt::print("{}\n", to_json(found.event()));
    std::fflush(stdout);
  };
  callbacks.on_stored_end = [&](const std::string&) {
    if (++ended >= pool.relay_count() && !options.follow) process.loop.stop();
  };
  callbacks.on_closed = [&](const std::string& relay, const std::string& reason) {
    fmt::print(stderr, "nostril: {}: {}\n", relay, reason);
    status = 1;
    if (++ended >= pool.relay_count()) process.loop.stop();
  };
  pool.subscribe({filter}, std::move(callbacks));
  if (!options.follow) {
    process.loop.after(kAnswerMsMax, [&] {
      for (const std::string& problem : pool.problems()) {
        fmt::print(stderr, "nostril: {}\n", problem);
      }
      if (ended == 0) status = 1;
      process.loop.stop();
    });
  }
  process.loop.run();
  return status;
}

void add_event(CLI::App& app, Options& o, Command& run) {
  auto* event_app =
      app.add_subcommand("event", "sign an event and print it; with --relay publish it");
  event_app->add_option("-k,--kind", o.event.kind)
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  event_app->add_option("-c,--content", o.event.content);
  event_app->add_option("-t,--tag", o.event.tags, "NAME=VALUE[,VALUE…]; again for more");
  auto* key = event_app->add_option("--key", o.event.key_file,
                                    "the author: a key file or bunker://…; else the home's");
  add_home(*event_app, o.home);
  auto* input = event_app->add_flag("--stdin", o.event.from_stdin,
                                    "publish signed events from standard input, one a line");
  key->excludes(input);
  add_relays(*event_app, o.event.relays, o.event.ca_file, false);
  event_app->callback([&] {
    run = [&o](Process& process) {
      if (!o.event.from_stdin) use_identity(o, o.event.key_file, o.event.ca_file);
      return event(process, o.home, o.event);
    };
  });
}

void add_request(CLI::App& app, Options& o, Command& run) {
  auto* req = app.add_subcommand("req", "print the events that match a filter, one JSON a line");
  add_relays(*req, o.request.relays, o.request.ca_file, true);
  req->add_option("filter", o.request.filter, "a filter as JSON; else the options below");
  req->add_option("-i,--id", o.request.ids);
  req->add_option("-a,--author", o.request.authors);
  req->add_option("-k,--kind", o.request.kinds)->check(CLI::Range(0, 65535));
  req->add_option("-t,--tag", o.request.tags, "X=VALUE for #X");
  req->add_option("--since", o.request.since);
  req->add_option("--until", o.request.until);
  req->add_option("-l,--limit", o.request.limit)->check(CLI::NonNegativeNumber);
  req->add_flag("-f,--follow", o.request.follow, "go on with live events");
  req->callback([&] { run = [&o](Process& process) { return request(process, o.request); }; });
}

}  // namespace nostril::client::cli
