// The button that leads a reader who has scrolled away to the answer.

function jump() {
  const { answer, fold, update } = [...views.values()].at(-1);
  fold(true);
  update();
  answer.node.scrollIntoView({ block: "start" });
  answer.node.tabIndex = -1;
  answer.node.focus({ preventScroll: true });
  $("jump").hidden = true;
}
