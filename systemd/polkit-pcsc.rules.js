// Newer builds of the PC/SC service ask polkit who may use it: the daemon's user may, and talk to the cards.
polkit.addRule(function (action, subject) {
    var actions = ["org.debian.pcsc-lite.access_pcsc", "org.debian.pcsc-lite.access_card"];
    if (actions.indexOf(action.id) >= 0 && subject.user === "forecourt") {
        return polkit.Result.YES;
    }
});
