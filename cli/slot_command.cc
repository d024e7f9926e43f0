#include <algorithm>
#include <ostream>

#include "cli/cluster_report.h"
#include "cli/command.h"
#include "cli/router_search.h"
#include "cli/text.h"
#include "common/base/units.h"
#include "common/config/text.h"

namespace tarn::cli {
namespace {

struct SlotOptions {
  ClusterFlags cluster;
  bool is_all = false;
  uint32_t slot = 0;
  std::vector<uint32_t> slots;
  bool is_all_lost = false;
  bool is_sure = false;
  bool even_waiting = false;
};

using Slots = std::vector<SlotReport>;

Result<Slots> ask_slots(const RouterSearch& who) {
  return ask_any<AdminClient>(who, [](AdminClient& client) { return client.slots(); });
}

bool is_in_trouble(const SlotReport& slot) {
  return slot.state == "lost" || slot.state == "waiting";
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : text;
}

Json to_json(uint32_t number, const SlotReport& slot) {
  return Json::object()
      .set("slot", number)
      .set("state", slot.state)
      .set("primary", slot.primary)
      .set("synced", Json::array_of(slot.synced))
      .set("learners", Json::array_of(slot.learners));
}

Status run_ls(const SlotOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  TARN_ASSIGN_OR_RETURN(const Slots slots, ask_slots(who));
  Json list = Json::array();
  Table table({"SLOT", "STATE", "PRIMARY", "SYNCED", "LEARNERS"});
  for (uint32_t i = 0; i < slots.size(); ++i) {
    const SlotReport& slot = slots[i];
    if (!options.is_all && !is_in_trouble(slot)) continue;
    list.add(to_json(i, slot));
    table.add({std::to_string(i), slot.state, or_dash(slot.primary),
               or_dash(config::join(slot.synced, ", ")),
               or_dash(config::join(slot.learners, ", "))});
  }
  const std::string none =
      "None of the " + std::to_string(slots.size()) + " session slots is waiting or lost.\n";
  terminal.answer(Json::object().set("slots", std::move(list)),
                  table.is_empty() ? none : table.text());
  return Status::ok();
}

// What an operator is to know about a slot in this state, and to do.
std::string advice_on(uint32_t number, const SlotReport& slot) {
  const std::string name = std::to_string(number);
  if (slot.state == "waiting") {
    return "No server that has its log is up: start one of " + config::join(slot.synced, ", ") +
           ".\nIf none will ever be back: tarn slot abandon " + name +
           " --even-waiting --yes gives up its sessions.\n";
  }
  if (slot.state == "lost") {
    return "Its last log was on " + or_dash(slot.primary) +
           ", which came back without its disk: its sessions are gone.\nSessions of this slot are "
           "unavailable until: tarn slot abandon " +
           name + " --yes; it begins empty then.\n";
  }
  return {};
}

Status run_show(const SlotOptions& options, Terminal& terminal) {
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  TARN_ASSIGN_OR_RETURN(const Slots slots, ask_slots(who));
  if (options.slot >= slots.size()) {
    return not_found("there is no slot " + std::to_string(options.slot));
  }
  const SlotReport& slot = slots[options.slot];
  const std::string advice = advice_on(options.slot, slot);
  Json json = to_json(options.slot, slot);
  terminal.answer(json.set("advice", advice),
                  "slot      " + std::to_string(options.slot) + "\nstate     " + slot.state +
                      "\nprimary   " + or_dash(slot.primary) + "\nsynced    " +
                      or_dash(config::join(slot.synced, ", ")) + "\nlearners  " +
                      or_dash(config::join(slot.learners, ", ")) + "\n" + advice);
  return Status::ok();
}

Result<std::vector<uint32_t>> slots_to_abandon(const SlotOptions& options,
                                               const RouterSearch& who) {
  if (!options.is_all_lost) return options.slots;
  TARN_ASSIGN_OR_RETURN(const Slots slots, ask_slots(who));
  std::vector<uint32_t> lost;
  for (uint32_t i = 0; i < slots.size(); ++i) {
    const bool is_meant =
        slots[i].state == "lost" || (options.even_waiting && slots[i].state == "waiting");
    if (is_meant) lost.push_back(i);
  }
  if (lost.empty()) return not_found("no slot is lost: there is nothing to give up");
  return lost;
}

Status run_abandon(const SlotOptions& options, Terminal& terminal) {
  if (options.slots.empty() != options.is_all_lost) {
    return invalid_argument("name slots, or --all-lost, and not both");
  }
  if (!options.is_sure) {
    return invalid_argument(
        "slot abandon gives up every session of these slots for good: look at them with `tarn slot "
        "show`, then say --yes");
  }
  TARN_ASSIGN_OR_RETURN(const RouterSearch who,
                        find_routers(options.cluster, Speaker::operator_first));
  TARN_ASSIGN_OR_RETURN(const std::vector<uint32_t> slots, slots_to_abandon(options, who));
  const auto epoch = ask_any<AdminClient>(
      who, [&](AdminClient& client) { return client.abandon_slots(slots, options.even_waiting); });
  if (!epoch) return epoch.error();
  Json list = Json::array();
  for (const uint32_t slot : slots)
    list.add(slot);
  terminal.answer(Json::object().set("abandoned", std::move(list)).set("epoch", *epoch),
                  std::to_string(slots.size()) +
                      (slots.size() == 1 ? " slot begins" : " slots begin") + " empty in epoch " +
                      std::to_string(*epoch) + ".\n");
  return Status::ok();
}

void add_abandon(CLI::App& slot, Invocation& chosen) {
  CLI::App& command =
      add_command(slot, chosen, "abandon", "Give up the sessions of slots whose last log is lost");
  const auto options = std::make_shared<SlotOptions>();
  add_cluster_flags(command, options->cluster);
  command.add_option("slot", options->slots, "Their numbers")
      ->check(CLI::Range(0u, kSessionSlots - 1));
  command.add_flag("--all-lost", options->is_all_lost, "All slots that are lost");
  command.add_flag("--even-waiting", options->even_waiting,
                   "Also what only servers have that are down; their logs count for nothing then");
  command.add_flag("--yes", options->is_sure, "I know that these sessions are gone for good");
  on_run(command, chosen, options, run_abandon);
}

}  // namespace

void add_slot_commands(CLI::App& app, Invocation& chosen) {
  CLI::App& slot =
      *app.add_subcommand("slot", "See who holds the sessions' logs; give up lost ones");
  slot.require_subcommand(1);
  CLI::App& ls = add_command(slot, chosen, "ls", "List session slots that cannot answer");
  const auto ls_options = std::make_shared<SlotOptions>();
  add_cluster_flags(ls, ls_options->cluster);
  ls.add_flag("--all", ls_options->is_all, "All slots");
  on_run(ls, chosen, ls_options, run_ls);

  CLI::App& show = add_command(slot, chosen, "show", "Show who holds a slot and what to do");
  const auto show_options = std::make_shared<SlotOptions>();
  add_cluster_flags(show, show_options->cluster);
  show.add_option("slot", show_options->slot, "Its number")
      ->required()
      ->check(CLI::Range(0u, kSessionSlots - 1));
  on_run(show, chosen, show_options, run_show);
  add_abandon(slot, chosen);
}

}  // namespace tarn::cli
