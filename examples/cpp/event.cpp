// Signs an event with a key of its own, publishes it, and reads it back from the relay.
//   event HOME RELAY TEXT
#include <nostril/base/rng.h>
#include <nostril/client/client.h>
#include <nostril/events/event.h>
#include <nostril/events/nip19.h>
#include <nostril/schnorr/keys.h>

#include <ctime>
#include <exception>
#include <iostream>
#include <string>

int main(int count, char** values) {
  try {
    if (count != 4) throw std::runtime_error("event HOME RELAY TEXT");
    nostril::SystemRng rng;
    const nostril::Keypair author = nostril::Keypair::generate(rng);
    const nostril::Event event = nostril::sign_event(
        {.created_at = std::time(nullptr), .kind = 1, .content = values[3]}, author, rng);

    nostril::client::ClientSettings settings;
    settings.home = values[1];
    settings.relays = {values[2]};
    nostril::client::Client client(settings);
    const auto published = client.publish(event);
    if (!published.accepted) {
      for (const std::string& refusal : published.refusals) std::cerr << refusal << "\n";
      return 1;
    }

    nostril::Filter filter;
    filter.authors = {author.public_key()};
    filter.kinds = {1};
    for (const nostril::VerifiedEvent& found : client.stored(filter)) {
      std::cout << nostril::nip19::encode(nostril::nip19::Note{found->id}) << " " << found->content
                << "\n";
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "event: " << error.what() << "\n";
    return 2;
  }
}
