// Before anything is laid out: with script, only the chosen session is. Should a script fail, the page is as without.
(function () {
  "use strict";
  var root = document.documentElement;
  root.classList.add("js");
  addEventListener("error", function () {
    root.classList.remove("js");
    document.querySelectorAll("section.session").forEach(function (section) {
      section.hidden = false;
    });
  });
})();
