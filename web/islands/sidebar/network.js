// A strip at the end while there is no network; what could not be reported is told of when there is one again.
function show() {
  const strip = document.querySelector(".network");
  if (strip) strip.hidden = navigator.onLine;
}

window.addEventListener("online", show);
window.addEventListener("offline", show);
show();
